"""The four claims against the finished runs, by the rules of ``results/PLAN.md``."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from rephrase_rl.statistics.correction import holm
from rephrase_rl.statistics.intervals import seed_mean_interval
from rephrase_rl.studies.effects import Effect, effect
from rephrase_rl.studies.outcomes import FORGETS_ABOVE, Run, matching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

Verdict: TypeAlias = Literal["holds", "fails", "undecided", "too few runs", "not run"]

GAIN_LIMIT = 0.05
LEVEL = 0.05
SEEDS_OF_A_TEST = 5
"""Runs that every arm needs before a verdict, and before the permutation test can be asked."""
FIRST_SEEDS = 2
"""Fewer runs of an arm say nothing: no interval can be made."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is the same for all arms of a comparison."""

    protocol: str
    expert: str
    rewriter: str

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.protocol}, {self.expert} expert, {self.rewriter} rewriter"


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim in a condition."""

    condition: Condition
    verdict: Verdict
    effects: tuple[Effect, ...]
    """With Holm-corrected p-values."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper with its rule."""

    number: int
    words: str
    endpoint: str
    judge: Callable[[ArmRuns], tuple[Verdict, list[Effect]]]


class ArmRuns:
    """The runs of a condition, by arm."""

    def __init__(self, runs: Sequence[Run], free: Sequence[Run], planned: Sequence[str]) -> None:
        """Args: runs at the selected rates, those at the free rates, and the arms of the study."""
        self._runs = runs
        self._free = free
        self._planned = planned

    def __call__(self, arm: str, *, free: bool = False) -> list[Run]:
        """Runs of an arm."""
        return [run for run in (self._free if free else self._runs) if run.cell["arm"] == arm]

    @property
    def arms(self) -> list[str]:
        """Arms with enough runs for an interval."""
        names = sorted({run.cell["arm"] for run in self._runs})
        return [name for name in names if len(self(name)) >= FIRST_SEEDS]

    def all_have(self, seeds: int) -> bool:
        """Whether every arm of the study has so many runs."""
        return all(len(self(name)) >= seeds for name in self._planned)


def sft_costs_generality(arms: ArmRuns) -> tuple[Verdict, list[Effect]]:
    """Claim 1."""
    sft, repo = arms("sft", free=True), arms("repo", free=True)
    if min(len(sft), len(repo)) < FIRST_SEEDS:
        return "not run", []
    found = _corrected([_of("retention loss, sft minus repo", sft, repo, _losses)])
    return _above(found[0], FORGETS_ABOVE, both=(sft, repo)), found


def on_policy_is_blind(arms: ArmRuns) -> tuple[Verdict, list[Effect]]:
    """Claim 2."""
    grpo = arms("grpo")
    if len(grpo) < FIRST_SEEDS:
        return "not run", []
    found = _of("hard gain of grpo", grpo, (), _hard_gains)
    if found.high < GAIN_LIMIT:
        return "holds", [found]
    return ("fails" if found.low > GAIN_LIMIT else "undecided"), [found]


def off_policy_is_unstable(arms: ArmRuns) -> tuple[Verdict, list[Effect]]:
    """Claim 3."""
    repo = arms("repo")
    others = [arms(name) for name in ("luffy", "naive")]
    if min(map(len, (repo, *others))) < FIRST_SEEDS:
        return "not run", []
    found = _corrected(
        [
            _of(f"share of unstable runs, {name} minus repo", runs, repo, _instability)
            for name, runs in zip(("luffy", "naive"), others, strict=True)
        ]
    )
    shown = [e.difference > 0 and (e.p_value or 0.0) < LEVEL for e in found]
    if all(shown):
        return "holds", found
    enough = min(map(len, (repo, *others))) >= SEEDS_OF_A_TEST
    return ("fails" if enough and not any(shown) else "undecided"), found


def repo_wins(arms: ArmRuns) -> tuple[Verdict, list[Effect]]:
    """Claim 4, at equal prompts."""
    repo = arms("repo")
    others = [name for name in arms.arms if name not in ("repo", "grpo_large")]
    if len(repo) < FIRST_SEEDS or not others:
        return "not run", []
    found = _corrected(
        [_of(f"hard avg@4, repo minus {name}", repo, arms(name), _hard) for name in others]
    )
    loss = _of("retention loss of repo", repo, (), _losses)
    verdicts = [
        _above(one, 0.0, both=(repo, arms(name))) for one, name in zip(found, others, strict=True)
    ]
    if "fails" in verdicts or loss.low > FORGETS_ABOVE:
        return "fails", [*found, loss]
    if not arms.all_have(SEEDS_OF_A_TEST):  # the arm that is missing may be the best one
        return "too few runs", [*found, loss]
    wins = all(verdict == "holds" for verdict in verdicts) and loss.high < FORGETS_ABOVE
    return ("holds" if wins else "undecided"), [*found, loss]


CLAIMS = (
    Claim(
        1,
        "SFT costs generality",
        "retention loss of sft minus that of repo, each at the rate best for hard problems",
        sft_costs_generality,
    ),
    Claim(2, "On-policy RL cannot use hard samples", "hard gain of grpo", on_policy_is_blind),
    Claim(
        3,
        "Off-policy RL is unstable",
        "share of runs that collapse or forget, luffy and naive minus repo",
        off_policy_is_unstable,
    ),
    Claim(
        4,
        "RePO uses hard samples, stays stable and wins",
        "hard avg@4 of repo minus that of each other arm, equal prompts",
        repo_wins,
    ),
)


def judged(
    claim: Claim,
    conditions: Sequence[Condition],
    planned: Sequence[str],
    main: Sequence[Run],
    free: Sequence[Run],
) -> list[Judged]:
    """A claim in every condition.

    Args:
        claim: The claim.
        conditions: All of the plan, run or not.
        planned: Arms of the study.
        main: Runs at the selected rates.
        free: Runs at the free rates, those included whose free rate is the selected one.
    """
    rows = []
    for condition in conditions:
        wanted = {
            "protocol": condition.protocol,
            "expert": condition.expert,
            "rewriter": condition.rewriter,
        }
        arms = ArmRuns(matching(main, **wanted), matching(free, **wanted), planned)
        verdict, effects = claim.judge(arms)
        if effects and _fewest(effects) < SEEDS_OF_A_TEST:
            verdict = "too few runs"
        rows.append(Judged(condition, verdict, tuple(effects)))
    return rows


def overall(rows: Sequence[Judged]) -> str:
    """The verdict over conditions, and how much it rests on."""
    counts = Counter(row.verdict for row in rows)
    found = [verdict for verdict in get_args(Verdict) if counts[verdict]]
    first, *others = [f"{verdict} in {counts[verdict]}" for verdict in found]
    if "holds" in found and {"fails", "undecided"} & {*found}:
        first = f"holds only in {counts['holds']}"
    words = ", ".join([f"{first} of {len(rows)} conditions", *others])
    run = [row for row in rows if row.verdict not in ("too few runs", "not run")]
    if not run:
        return words
    return f"{words} ({min(_fewest(row.effects) for row in run)} runs of an arm at least)"


def _fewest(effects: Sequence[Effect]) -> int:
    return min(n for one in effects for n in one.seeds if n)


def _of(
    what: str,
    runs: Sequence[Run],
    others: Sequence[Run],
    values: Callable[[Run], NDArray[np.float64]],
) -> Effect:
    found = effect(what, [values(run) for run in runs], [values(run) for run in others])
    return replace(found, over_policies=_over_policies(runs, others, values))


def _over_policies(
    runs: Sequence[Run], others: Sequence[Run], values: Callable[[Run], NDArray[np.float64]]
) -> tuple[float, float]:
    """The interval with each starting policy counted once."""

    def means(of: Sequence[Run]) -> dict[str, float]:
        by_policy: dict[str, list[float]] = {}
        for run in of:
            by_policy.setdefault(run.policy, []).append(float(values(run).mean()))
        return {policy: fmean(own) for policy, own in by_policy.items()}

    first, second = means(runs), means(others)
    shared = [name for name in first if name in second or not others]
    if len(shared) < FIRST_SEEDS:
        return math.nan, math.nan
    interval = seed_mean_interval([first[name] - second.get(name, 0.0) for name in shared])
    return interval.low, interval.high


def _hard_gains(run: Run) -> NDArray[np.float64]:
    return run.tests[run.last].hard - run.base.hard


def _hard(run: Run) -> NDArray[np.float64]:
    return run.equal_prompts.hard


def _losses(run: Run) -> NDArray[np.float64]:
    return run.retention_losses()


def _instability(run: Run) -> NDArray[np.float64]:
    return np.array([float(run.unstable)])


def _above(found: Effect, limit: float, *, both: tuple[Sequence[Run], ...]) -> Verdict:
    """Whether an effect is above a limit; the test is asked of arms that have enough runs."""
    if found.high < limit:
        return "fails"
    tested = min(map(len, both)) >= SEEDS_OF_A_TEST
    shown = found.low > limit and (not tested or (found.p_value or 0.0) < LEVEL)
    return "holds" if shown else "undecided"


def _corrected(found: Sequence[Effect]) -> list[Effect]:
    """Effects of one claim and condition with p-values after Holm."""
    corrected = holm([one.p_value for one in found])
    return [replace(one, p_value=p) for one, p in zip(found, corrected, strict=True)]
