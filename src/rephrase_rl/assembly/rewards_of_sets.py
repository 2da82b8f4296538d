"""The verifiers of a run: one list for all its problems, or one for each training set.

A verifier with the same weight and options in several sets is built once. Every reward function of
a mixture judges the rows of its own sets and leaves the others out.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import build_verifiers
from rephrase_rl.assembly.rewriting import judge_with
from rephrase_rl.config import deciding_reward
from rephrase_rl.rewards import VerifierReward
from rephrase_rl.rewards.dataset_reward import DatasetReward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import RewardConfig, RunConfig, TrainDataConfig
    from rephrase_rl.guidance.blocks import Score
    from rephrase_rl.records import Problem
    from rephrase_rl.rewards import Verifier


@dataclass(slots=True)
class Reward:
    """A verifier, its weight, and where it applies."""

    verifier: Verifier
    weight: float
    called: str
    """Its name in the configuration; empty for a task kind's own."""
    sets: list[str] = field(default_factory=list)
    """Names of its sets; empty: it judges every problem of the run."""
    name: str = ""
    """In metrics."""


@dataclass(frozen=True, slots=True)
class RunRewards:
    """All rewards of a run."""

    rewards: tuple[Reward, ...]
    deciding: dict[str, int]
    """Set -> position of the reward that decides failure in it; "" where one list serves all."""
    correctness_of: dict[str, str] = field(default_factory=dict)
    """Set -> name of that reward in metrics, where the set has a say."""

    @property
    def weights(self) -> list[float]:
        """One per reward function."""
        return [reward.weight for reward in self.rewards]

    @property
    def functions(self) -> list[Any]:
        """Reward functions as TRL takes them."""
        return [
            DatasetReward(r.verifier, r.sets, name=r.name) if r.sets else VerifierReward(r.verifier)
            for r in self.rewards
        ]

    @property
    def names(self) -> dict[str, str]:
        """How the configuration calls each verifier -> its name in metrics.

        They differ for one by import path.
        """
        return {reward.called: reward.name for reward in self.rewards if reward.called}

    def judge(self, texts: Sequence[str], problems: Sequence[Problem]) -> list[Score]:
        """Rewards of texts, one problem for each."""
        places: dict[str, list[int]] = {}
        for i, problem in enumerate(problems):
            places.setdefault(problem.dataset if "" not in self.deciding else "", []).append(i)
        scores: dict[int, Score] = {}
        for dataset, own in places.items():
            applying = [i for i, r in enumerate(self.rewards) if not r.sets or dataset in r.sets]
            judge = judge_with(
                [(self.rewards[i].verifier, self.rewards[i].weight) for i in applying],
                applying.index(self.deciding[dataset]),
            )
            judged = judge([texts[i] for i in own], [problems[i] for i in own])
            scores.update(zip(own, judged, strict=True))
        return [scores[i] for i in range(len(texts))]

    def close(self) -> None:
        """Close every verifier."""
        for reward in self.rewards:
            reward.verifier.close()


def build_rewards(config: RunConfig, problems: Sequence[Problem]) -> RunRewards:
    """The rewards that a configuration asks for.

    Args:
        config: The run, resolved.
        problems: Of the run; their task kinds choose verifiers where none is named.

    Raises:
        ConfigError: A set without rewards has problems of several task kinds; or one has several
            rewards and none that decides failure.
        VerifierError: A verifier is unknown, or its options are not valid.
    """
    kinds = {problem.task_kind for problem in problems}
    sets = config.data
    shared = not any(data.rewards for data in sets) and (config.rewards or len(kinds) == 1)
    if shared or len(sets) == 1:
        return _one_list(config, sets[0], problems)
    rewards: dict[str, Reward] = {}
    deciding: dict[str, int] = {}
    try:
        for data in sets:
            own = [problem for problem in problems if problem.dataset == data.name]
            decides = deciding_reward(config, data)
            for asked in data.rewards or config.rewards or (None,):
                key = _key(asked, own)
                if key not in rewards:
                    rewards[key] = _reward(asked, own)
                rewards[key].sets.append(data.name)
                if asked == decides:
                    deciding[data.name] = list(rewards).index(key)
    except BaseException:
        RunRewards(tuple(rewards.values()), {}).close()
        raise
    built = tuple(rewards.values())
    _give_names(built)
    return RunRewards(built, deciding, {name: built[i].name for name, i in deciding.items()})


def _one_list(config: RunConfig, data: TrainDataConfig, problems: Sequence[Problem]) -> RunRewards:
    asked = data.rewards or config.rewards
    decides = deciding_reward(config, data)
    built = build_verifiers(asked, problems)
    called = [reward.verifier for reward in asked] or [""]
    rewards = tuple(
        Reward(verifier, weight, name, name=verifier.name)
        for (verifier, weight), name in zip(built, called, strict=True)
    )
    index = 0 if decides is None else asked.index(decides)
    return RunRewards(rewards, {"": index}, {"": rewards[index].name} if data.rewards else {})


def _key(asked: RewardConfig | None, problems: Sequence[Problem]) -> str:
    """Equal for sets that one verifier can serve."""
    if asked is None:
        return f"kind {sorted({problem.task_kind for problem in problems})}"
    return json.dumps(asked.model_dump(mode="json"), sort_keys=True)


def _reward(asked: RewardConfig | None, problems: Sequence[Problem]) -> Reward:
    ((verifier, weight),) = build_verifiers(() if asked is None else (asked,), problems)
    return Reward(verifier, weight, "" if asked is None else asked.verifier)


def _give_names(rewards: Sequence[Reward]) -> None:
    """The verifier's own name where it is unambiguous, else with its sets behind it."""
    occurring = Counter(reward.verifier.name for reward in rewards)
    for reward in rewards:
        own = reward.verifier.name
        reward.name = own if occurring[own] == 1 else f"{own}@{'+'.join(reward.sets)}"
