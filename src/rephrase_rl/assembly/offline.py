"""What jobs without training share: the problems, the policy that answers, and who judges."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState

from rephrase_rl.assembly.objects import build_verifiers
from rephrase_rl.assembly.rewriting import judge_with
from rephrase_rl.assembly.run_parts import load_start
from rephrase_rl.config import config_to_plain
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.rollout import TransformersEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rephrase_rl.config import GuidanceConfig, RunConfig
    from rephrase_rl.guidance.blocks import Score
    from rephrase_rl.records import JSON, Problem
    from rephrase_rl.runs.resumable import ResumableJob

_VALUES_HASHED = 256
"""Values of each weight tensor that identify a policy: training moves all of them."""


def job_settings(
    config: RunConfig, guidance: GuidanceConfig, problems: Sequence[Problem]
) -> dict[str, JSON]:
    """Everything of a resolved configuration that decides samples and verdicts."""
    return {
        "model": config_to_plain(config.model),
        "init_from": config.init_from,
        "data": data_fingerprint(problems),
        "num_problems": len(problems),
        "temperature": config.trainer["temperature"],
        "top_p": config.trainer["top_p"],
        "max_new_tokens": config.trainer["max_completion_length"],
        "chat_template_kwargs": config.trainer.get("chat_template_kwargs"),
        "seed": config.seed,
        "prompts": config_to_plain(config.prompts),
        "rewards": [config_to_plain(reward) for reward in config.rewards],
        "correctness": guidance.correctness,
        "failure_reward_threshold": guidance.failure_reward_threshold,
    }


def refuse_repeated_ids(problems: Sequence[Problem]) -> None:
    """Refuse problems that could not be told apart in the lines of a job.

    Raises:
        DataError: An id occurs more than once.
    """
    counts = Counter(problem.problem_id for problem in problems)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise DataError(
            f"data: found {len(repeated)} problem ids that occur more than once, such as "
            f"{repeated[0]!r}; required: distinct ids, by which results are kept: rename them"
        )


def refuse_several_processes() -> None:
    """Refuse a launcher of several processes, which would all write the same lines.

    Raises:
        ConfigError: There are several.
    """
    if PartialState().num_processes > 1:
        raise ConfigError(
            f"found {PartialState().num_processes} processes; required: one, since this command "
            "writes one file of lines: start it without a launcher"
        )


def load_engine(config: RunConfig, job: ResumableJob) -> TransformersEngine:
    """The policy of a configuration, ready to sample; the same weights as in earlier parts.

    Raises:
        ConfigError: An earlier part of the job had other weights.
        EngineError: Nothing loadable is there.
    """
    policy, _ = load_start(config)
    job.settle("weights", weights_fingerprint(policy.model))
    policy.model.to(PartialState().device)
    kwargs = config.trainer.get("chat_template_kwargs")
    return TransformersEngine(policy.model, policy.tokenizer, chat_template_kwargs=kwargs)


def weights_fingerprint(model: Any) -> str:
    """SHA-256 (hex) over the beginning of every weight tensor: other weights, another hash."""
    digest = hashlib.sha256()
    for name, weight in model.state_dict().items():
        start = weight.detach().flatten()[:_VALUES_HASHED].to("cpu", torch.float32)
        digest.update(name.encode() + bytes(start.contiguous().numpy().tobytes()))
    return digest.hexdigest()


@contextmanager
def judging(
    config: RunConfig, guidance: GuidanceConfig, problems: Sequence[Problem]
) -> Iterator[Callable[[Sequence[str], Sequence[Problem]], Sequence[Score]]]:
    """The run's rewards as a function of texts and their problems; closed in the end."""
    names = [reward.verifier for reward in config.rewards]
    decides = names.index(guidance.correctness) if guidance.correctness in names else 0
    verifiers = build_verifiers(config.rewards, problems)
    try:
        yield judge_with(verifiers, decides)
    finally:
        for verifier, _ in verifiers:
            verifier.close()
