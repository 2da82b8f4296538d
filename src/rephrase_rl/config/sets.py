"""What follows from a configuration for each of its training sets: its judge and its benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.config.data import TestDataConfig
from rephrase_rl.config.evaluation import BenchmarkConfig, JudgeConfig, ProtocolConfig
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from rephrase_rl.config.schema import RewardConfig, RunConfig, TrainDataConfig


def deciding_reward(config: RunConfig, data: TrainDataConfig) -> RewardConfig | None:
    """The reward that decides failure in a set; None: the verifier of its task kind.

    Raises:
        ConfigError: The set has several rewards of its own, and none of them is named.
    """
    rewards = data.rewards or config.rewards
    named = data.correctness or config.guidance.get("correctness")
    if len(rewards) <= 1:
        return rewards[0] if rewards else None
    deciding = next((reward for reward in rewards if reward.verifier == named), None)
    if deciding is not None:
        return deciding
    if not data.rewards:
        return rewards[0]  # a method that intervenes has been refused before
    raise ConfigError(
        f"data.{data.name}: found {len(rewards)} rewards and none that decides failure; set "
        f"data.{data.name}.correctness to one of {', '.join(r.verifier for r in rewards)}"
    )


def all_benchmarks(config: RunConfig) -> list[BenchmarkConfig]:
    """The benchmarks of a run, then those that its training sets have for themselves.

    Raises:
        ConfigError: A set would be evaluated on what it is trained on; with every such set.
    """
    own = [data for data in config.data if data.evaluate is not None]
    faults = [
        f"data.{data.name}.evaluate: found the path and split that are trained on "
        f"({data.path}, {data.split}); name another split, or for a file another path"
        for data in own
        if _same_problems(data)
    ]
    if faults:
        raise ConfigError("a set cannot be evaluated on its own training problems", faults)
    return [*config.evaluation.benchmarks, *(_benchmark(config, data) for data in own)]


def _same_problems(data: TrainDataConfig) -> bool:
    assert data.evaluate is not None  # noqa: S101  (narrows the type)
    if data.evaluate.path not in (None, data.path):
        return False
    return data.evaluate.split == data.split or Path(data.path).expanduser().is_file()


def _benchmark(config: RunConfig, data: TrainDataConfig) -> BenchmarkConfig:
    evaluate = data.evaluate
    assert evaluate is not None  # noqa: S101  (narrows the type)
    judge = deciding_reward(config, data)
    source = {
        name: getattr(data, name)
        for name in TestDataConfig.model_fields
        if name not in ("expert_tokens", "over_expert_tokens")
    }
    changes = {
        "split": evaluate.split,
        "limit": evaluate.limit,
        "path": evaluate.path or data.path,
    }
    return BenchmarkConfig(
        name=data.name,
        data=TestDataConfig(**{**source, **changes}),
        judge=judge and JudgeConfig(verifier=judge.verifier, options=judge.options),
        **{name: getattr(evaluate, name) for name in ProtocolConfig.model_fields},
    )
