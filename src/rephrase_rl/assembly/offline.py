"""What jobs without training share: the problems, and the policy that answers."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState

from rephrase_rl.assembly import policies
from rephrase_rl.assembly.mixture import named_after
from rephrase_rl.assembly.objects import model_path
from rephrase_rl.assembly.run_parts import load_start, starting_model
from rephrase_rl.config import config_to_plain
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.rollout import TransformersEngine
from rephrase_rl.rollout.vllm_engine import VllmEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import GuidanceConfig, RewardConfig, RunConfig
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
        "rewards": _plain(config.rewards),
        "rewards_of_sets": {data.name: _plain(data.rewards) for data in config.data},
        "correctness": guidance.correctness,
        "correctness_of_sets": {data.name: data.correctness for data in config.data},
        "failure_reward_threshold": guidance.failure_reward_threshold,
    }


def _plain(rewards: Sequence[RewardConfig]) -> list[JSON]:
    return [config_to_plain(reward) for reward in rewards]


def every_problem_once(config: RunConfig, sets: Sequence[Sequence[Problem]]) -> list[Problem]:
    """The problems of all sets, one set after the other, whatever the weights of a mixture.

    Raises:
        DataError: An id occurs more than once, so that lines could not be told apart.
    """
    problems = [
        problem
        for data, of_set in zip(config.data, sets, strict=True)
        for problem in named_after(config, data, of_set)
    ]
    counts = Counter(problem.problem_id for problem in problems)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise DataError(
            f"data: found {len(repeated)} problem ids that occur more than once, such as "
            f"{repeated[0]!r}; required: distinct ids, by which results are kept: rename them"
        )
    return problems


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
    if not config.model.load_in_4bit:  # then it is there already, and moving it is refused
        policy.model.to(PartialState().device)
    kwargs = config.trainer.get("chat_template_kwargs")
    return TransformersEngine(policy.model, policy.tokenizer, chat_template_kwargs=kwargs)


def load_vllm(config: RunConfig, job: ResumableJob) -> VllmEngine:
    """The same policy in vLLM, which computes in ``model.dtype``.

    Of the trainer's settings for vLLM those of the model's length and of its division over GPUs are
    taken; how much memory it may have beside training says nothing here.

    Raises:
        ConfigError: The policy is in a form that vLLM is not asked to load here, or an earlier part
            of the job had other weights.
        EngineError: vLLM is not installed, or cannot load the policy.
    """
    model = starting_model(config)
    unfit = [name for name in ("load_in_4bit", "gguf_file") if getattr(model, name)]
    if unfit:
        raise ConfigError(
            f"found model.{' and model.'.join(unfit)} with the engine vllm; required: weights as "
            "transformers stores them; do this: leave it out, or take the engine transformers"
        )
    path = model_path(model)
    job.settle("weights", policies.weights_fingerprint(path) or f"{path} {model.revision}")
    asked: dict[str, Any] = {
        "revision": model.revision,
        "max_model_len": config.trainer.get("vllm_max_model_length"),
        "tensor_parallel_size": config.trainer.get("vllm_tensor_parallel_size"),
    }
    options = {name: value for name, value in asked.items() if value is not None}
    return VllmEngine(
        path,
        chat_template_kwargs=config.trainer.get("chat_template_kwargs"),
        dtype=model.dtype,
        trust_remote_code=model.trust_remote_code,
        **options,
    )


def weights_fingerprint(model: Any) -> str:
    """SHA-256 (hex) over the beginning of every weight tensor: other weights, another hash."""
    digest = hashlib.sha256()
    for name, weight in model.state_dict().items():
        start = weight.detach().flatten()[:_VALUES_HASHED].to("cpu", torch.float32)
        digest.update(name.encode() + bytes(start.contiguous().numpy().tobytes()))
    return digest.hexdigest()
