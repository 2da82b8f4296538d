"""The objects of a run in verl's processes, from the facts that travel in verl's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.mixture import gates_of_sets
from rephrase_rl.assembly.objects import build_judge
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.assembly.rewriting import judge_with
from rephrase_rl.config import all_benchmarks, config_to_plain, parse_config, parse_guidance
from rephrase_rl.records import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from rephrase_rl.assembly.rewards_of_sets import RunRewards
    from rephrase_rl.config import RewardConfig, RunConfig
    from rephrase_rl.guidance.blocks import Guidance, Score
    from rephrase_rl.guidance.token_records import Kept
    from rephrase_rl.records import JSON

FACTORY = "rephrase_rl.assembly.verl.parts:run_parts"
"""How verl's processes find ``run_parts``."""
TRAINING = "train"
"""``data_source`` of training rows."""
EVALUATION = "evaluation/"
"""What the ``data_source`` of a benchmark's rows begins with."""


def facts_of(config: RunConfig, problems: Sequence[Problem]) -> dict[str, JSON]:
    """What a worker has to know of a run: its configuration and the kinds of its problems.

    Args:
        config: Resolved.
        problems: Of training; which verifiers they need follows from their kinds.
    """
    kinds = sorted({(problem.dataset, problem.task_kind) for problem in problems})
    return {"config": config_to_plain(config), "kinds": [list(kind) for kind in kinds]}


def run_parts(facts: Mapping[str, Any]) -> RunParts:
    """The objects of the run with these facts."""
    return RunParts(facts)


class RunParts:
    """``trainers.verl.attachment.Parts`` from a configuration."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """Args: what ``facts_of`` gave."""
        self._config = parse_config(facts["config"])
        self._guidance = parse_guidance(self._config.guidance)
        self._kinds = [
            Problem("", ({"role": "user", "content": ""},), "", task_kind=kind, dataset=dataset)
            for dataset, kind in facts["kinds"]
        ]

    @property
    def seed(self) -> int:
        """Of the run."""
        return self._config.seed

    @property
    def scale(self) -> Literal["group", "batch", "none"]:
        """What centred rewards are divided by."""
        return self._guidance.advantages.scale

    @property
    def keep_groups(self) -> Literal["all", "open", "none"]:
        """Which groups are recorded."""
        return self._config.log.groups

    @property
    def token_logps(self) -> Kept:
        """Which candidates' records keep their tokens."""
        return self._config.log.token_logps

    def guidance(self) -> Guidance:
        """The method's blocks."""
        gates = gates_of_sets(self._config, self._guidance)
        return build_guidance(self._guidance, self._config.prompts, None, gates)

    def judge(self) -> SourceJudge:
        """The run's verifiers, and those of its benchmarks."""
        return SourceJudge(self._config, build_rewards(self._config, self._kinds))


class SourceJudge:
    """Judges texts by the verifiers of where they come from; benchmarks' are built when needed."""

    def __init__(self, config: RunConfig, rewards: RunRewards) -> None:
        """Args: the run, and the rewards of its training problems."""
        self._config = config
        self._rewards = rewards
        self._benchmarks = {benchmark.name: benchmark for benchmark in all_benchmarks(config)}
        self._judges: dict[str, Callable[[Sequence[str], Sequence[Problem]], list[Score]]] = {}
        self._closing = [rewards.close]

    def __call__(
        self, source: str, texts: Sequence[str], problems: Sequence[Problem]
    ) -> list[Score]:
        """Judge texts, one problem for each."""
        if not source.startswith(EVALUATION):
            return self._rewards.judge(texts, problems)
        name = source.removeprefix(EVALUATION)
        if name not in self._judges:
            self._judges[name] = self._judge_of(name, problems)
        return self._judges[name](texts, problems)

    def _judge_of(
        self, name: str, problems: Sequence[Problem]
    ) -> Callable[[Sequence[str], Sequence[Problem]], list[Score]]:
        judge = self._benchmarks[name].judge or _deciding(self._config)
        verifier = build_judge(judge, problems)
        self._closing.append(verifier.close)
        return judge_with([(verifier, 1.0)])

    def close(self) -> None:
        """End all worker processes."""
        for close in self._closing:
            close()


def _deciding(config: RunConfig) -> RewardConfig | None:
    """Of the run's own rewards the one that decides failure; None: the task kind's verifier."""
    named = config.guidance.get("correctness")
    matching = [reward for reward in config.rewards if reward.verifier == named]
    return (*matching, *config.rewards, None)[0]
