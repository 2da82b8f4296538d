"""What a run gained on hard problems against what it lost elsewhere, both against its own start.

The trilemma of the paper (arXiv:2602.10819, section 1) as one picture: supervised training gains
and forgets, on-policy reinforcement learning keeps and gains nothing where it never succeeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.errors import EvaluationError
from rephrase_rl.reports.item_scores import as_table, common_problems, read_item_scores
from rephrase_rl.reports.protocols import protocol_differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.reports.arms import Arm, ComparedRun
    from rephrase_rl.reports.evaluations import EvaluationRow

USUAL_HARD, USUAL_GENERAL = "hard", "general"
"""Names of benchmarks that are taken if the user names none."""


@dataclass(frozen=True, slots=True)
class Change:
    """Score at the end minus score at the start, on the same problems."""

    mean: float
    low: float | None
    """95 % interval over problems, paired; None where it cannot be told."""
    high: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One run of the picture."""

    arm: str
    run: str
    hard: Change
    general: Change
    start_of: str | None
    """Run whose evaluation before training was taken; None: its own."""


@dataclass(frozen=True, slots=True)
class Trilemma:
    """The picture's points, or why there is none."""

    hard: tuple[str, ...]
    """Benchmarks whose mean is the gain."""
    general: tuple[str, ...]
    points: tuple[Point, ...]
    missing: tuple[str, ...]
    """What could not be shown and why, one sentence each."""


def make_trilemma(arms: Sequence[Arm], hard: Sequence[str], general: Sequence[str]) -> Trilemma:
    """Measure every run against its start.

    A run that was not evaluated before training borrows the evaluation of another run that started
    from the same policy under the same protocol.

    Args:
        arms: All arms.
        hard: Benchmarks of what is to be learned; none: ``hard`` if there is one of that name.
        general: Benchmarks of what is to be kept; none: ``general`` likewise.

    Raises:
        EvaluationError: A named benchmark was evaluated in no run.
    """
    known = {row.benchmark for arm in arms for run in arm.runs for row in run.evaluations}
    chosen_hard = _chosen("--hard", hard, USUAL_HARD, known)
    chosen_general = _chosen("--general", general, USUAL_GENERAL, known)
    if not chosen_hard or not chosen_general:
        reason = "name what is to be learned with --hard and what is to be kept with --general"
        return Trilemma(chosen_hard, chosen_general, (), (reason,))
    points, missing = [], []
    everyone = [run for arm in arms for run in arm.runs]
    for arm in arms:
        for run in arm.runs:
            try:
                points.append(_point(arm, run, chosen_hard, chosen_general, everyone))
            except _NoPointError as reason:
                missing.append(f"{run.label}: {reason}")
    return Trilemma(chosen_hard, chosen_general, tuple(points), tuple(missing))


class _NoPointError(Exception):
    """A run has no point; the text says why."""


class _Measured(NamedTuple):
    """The change of one run on one benchmark."""

    change: Change
    start_of: str | None


def _point(
    arm: Arm,
    run: ComparedRun,
    hard: Sequence[str],
    general: Sequence[str],
    everyone: Sequence[ComparedRun],
) -> Point:
    measured = {name: _measure(run, name, everyone) for name in (*hard, *general)}
    borrowed = sorted({m.start_of for m in measured.values() if m.start_of is not None})
    return Point(
        arm=arm.label,
        run=run.label,
        hard=_mean_change([measured[name].change for name in hard]),
        general=_mean_change([measured[name].change for name in general]),
        start_of=", ".join(borrowed) or None,
    )


def _measure(run: ComparedRun, name: str, everyone: Sequence[ComparedRun]) -> _Measured:
    from rephrase_rl.statistics import paired_difference_interval

    last = run.last(name)
    if last is None:
        raise _NoPointError(f"not evaluated on {name}")
    start, owner = _start(run, last, everyone)
    scores = [read_item_scores(run, last), read_item_scores(owner, start)]
    names = common_problems(scores)
    final_P, start_P = as_table(scores, names)
    interval = paired_difference_interval([[v] for v in final_P], [[v] for v in start_P])
    if not math.isfinite(interval.mean):
        raise _NoPointError(f"no samples of {name} were kept, so problems cannot be paired")
    known = math.isfinite(interval.low)
    change = Change(
        interval.mean, interval.low if known else None, interval.high if known else None
    )
    return _Measured(change, None if owner is run else owner.label)


def _start(
    run: ComparedRun, last: EvaluationRow, everyone: Sequence[ComparedRun]
) -> tuple[EvaluationRow, ComparedRun]:
    """The evaluation before training, of the run or of one that started from the same policy."""
    own = run.directory.manifest
    for other in (run, *everyone):
        start = other.at_start(last.benchmark)
        theirs = other.directory.manifest
        same_policy = all(own.get(name) == theirs.get(name) for name in ("model", "init_from"))
        if start is not None and same_policy and not protocol_differences([start, last]):
            return start, other
    raise _NoPointError(
        f"no evaluation of {last.benchmark} before training, here or in a run from the same policy;"
        " set evaluation.before: true"
    )


def _mean_change(changes: Sequence[Change]) -> Change:
    """Mean over benchmarks, whose problems are independent of one another."""
    mean = fmean(change.mean for change in changes)
    halves = [
        (change.high - change.low) / 2
        for change in changes
        if change.low is not None and change.high is not None
    ]
    if len(halves) < len(changes):
        return Change(mean, None, None)
    half = math.hypot(*halves) / len(changes)
    return Change(mean, mean - half, mean + half)


def _chosen(option: str, named: Sequence[str], usual: str, known: set[str]) -> tuple[str, ...]:
    unknown = [name for name in named if name not in known]
    if unknown:
        raise EvaluationError(
            f"{option}: found {', '.join(unknown)}, which no run was evaluated on; required: one "
            f"of {', '.join(sorted(known)) or 'no benchmark at all'}"
        )
    if named:
        return tuple(dict.fromkeys(named))
    return (usual,) if usual in known else ()
