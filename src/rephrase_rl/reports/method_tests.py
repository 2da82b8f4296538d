"""Are the arms different on a benchmark? One test per arm and benchmark, against the baseline."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rephrase_rl.reports.item_scores import (
    as_table,
    common_problems,
    num_left_out,
    read_item_scores,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.reports.arms import Arm, ComparedRun
    from rephrase_rl.reports.evaluations import EvaluationRow

Subject: TypeAlias = Literal["methods", "checkpoints"]
"""``methods``: over seeds and problems. ``checkpoints``: two runs over problems; another seed may
give another answer."""


@dataclass(frozen=True, slots=True)
class ArmTest:
    """One arm against the baseline on one benchmark."""

    benchmark: str
    arm: str
    baseline: str
    subject: Subject
    test: str
    """Name of the test: ``t``, ``mcnemar``, ``sign_flip``; empty if none could be made."""
    difference: float | None
    """Arm minus baseline."""
    low: float | None
    """95 % interval of the difference."""
    high: float | None
    p_value: float | None
    p_holm: float | None
    """Corrected for all tests of the comparison."""
    bootstrap_low: float | None
    bootstrap_high: float | None
    bootstrap_p_value: float | None
    num_seeds: tuple[int, int]
    runs: tuple[str, ...]
    """The two runs, if checkpoints are compared."""
    num_problems: int
    left_out: int
    """Problems that not every run was asked or scored on."""
    note: str
    """Why there is no test, or what to know of it."""


def compare_arms(
    arms: Sequence[Arm], baseline: Arm, benchmarks: Mapping[str, str]
) -> list[ArmTest]:
    """Test every other arm against the baseline on every benchmark, with Holm's correction.

    Args:
        arms: All arms.
        baseline: One of them.
        benchmarks: Name -> why its evaluations must not be compared, empty if they may.
    """
    from rephrase_rl.statistics import holm

    tests = [
        _test(arm, baseline, name, fault)
        for name, fault in benchmarks.items()
        for arm in arms
        if arm is not baseline
    ]
    adjusted = holm([test.p_value for test in tests])
    return [dataclasses.replace(t, p_holm=p) for t, p in zip(tests, adjusted, strict=True)]


def _test(arm: Arm, baseline: Arm, benchmark: str, fault: str) -> ArmTest:
    sides = [_evaluated(side, benchmark) for side in (arm, baseline)]
    empty = ArmTest(
        *(benchmark, arm.label, baseline.label, "methods", ""),
        *(None, None, None, None, None, None, None, None),
        *((len(sides[0]), len(sides[1])), (), 0, 0, fault),
    )
    if not all(sides):
        missing = [
            side.label for side, runs in zip((arm, baseline), sides, strict=True) if not runs
        ]
        return dataclasses.replace(empty, note=f"not evaluated: {', '.join(missing)}")
    if fault:
        return empty
    if min(map(len, sides)) >= 2:
        return _test_methods(empty, sides)
    return _test_checkpoints(empty, sides)


def _test_methods(
    empty: ArmTest, sides: Sequence[Sequence[tuple[ComparedRun, EvaluationRow]]]
) -> ArmTest:
    from rephrase_rl.statistics import MIN_BOOTSTRAP_SEEDS, compare_methods

    scores = [[read_item_scores(run, row) for run, row in side] for side in sides]
    everyone = [*scores[0], *scores[1]]
    names = common_problems(everyone)
    if not names:
        return dataclasses.replace(empty, note=_no_samples(everyone))
    found = compare_methods(as_table(scores[0], names), as_table(scores[1], names))
    few = min(found.num_seeds) < MIN_BOOTSTRAP_SEEDS
    return dataclasses.replace(
        empty,
        test="t",
        difference=_known(found.difference),
        low=_known(found.low),
        high=_known(found.high),
        p_value=found.p_value,
        bootstrap_low=_known(found.bootstrap_low),
        bootstrap_high=_known(found.bootstrap_high),
        bootstrap_p_value=found.bootstrap_p_value,
        num_problems=found.num_problems,
        left_out=len(names) - found.num_problems + num_left_out(everyone),
        note=f"fewer than {MIN_BOOTSTRAP_SEEDS} seeds: too few for a bootstrap" if few else "",
    )


def _test_checkpoints(
    empty: ArmTest, sides: Sequence[Sequence[tuple[ComparedRun, EvaluationRow]]]
) -> ArmTest:
    from rephrase_rl.statistics import paired_difference_interval, paired_test

    pair = _pair(*sides)
    scores = [read_item_scores(run, row) for run, row in pair]
    labels = tuple(run.label for run, _ in pair)
    base = dataclasses.replace(empty, subject="checkpoints", runs=labels)
    names = common_problems(scores)
    if not names:
        return dataclasses.replace(base, note=_no_samples(scores))
    first, other = as_table(scores, names)
    found = paired_test(first, other)
    interval = paired_difference_interval([[v] for v in first], [[v] for v in other])
    return dataclasses.replace(
        base,
        test=found.method,
        difference=_known(interval.mean),
        low=_known(interval.low),
        high=_known(interval.high),
        p_value=found.p_value,
        num_problems=found.num_problems,
        left_out=len(names) - found.num_problems + num_left_out(scores),
        note="one seed: about these two checkpoints, not about the methods",
    )


def _evaluated(arm: Arm, benchmark: str) -> list[tuple[ComparedRun, EvaluationRow]]:
    rows = [(run, run.last(benchmark)) for run in arm.runs]
    return [(run, row) for run, row in rows if row is not None]


def _pair(
    first: Sequence[tuple[ComparedRun, EvaluationRow]],
    other: Sequence[tuple[ComparedRun, EvaluationRow]],
) -> tuple[tuple[ComparedRun, EvaluationRow], tuple[ComparedRun, EvaluationRow]]:
    """The first two of the same seed; without such, the first of each arm."""
    for mine in first:
        for theirs in other:
            if mine[0].seed == theirs[0].seed:
                return mine, theirs
    return first[0], other[0]


def _no_samples(scores: Sequence[dict[str, float]]) -> str:
    if not all(scores):
        return "no samples were kept, so problems cannot be paired"
    return "the runs have no problem in common"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
