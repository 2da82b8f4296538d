"""How soon each arm reaches a score: steps, tokens and seconds, with runs that never do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.errors import EvaluationError
from rephrase_rl.reports.budgets import seconds_by_step
from rephrase_rl.reports.series import cumulative_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.reports.arms import Arm, ComparedRun
    from rephrase_rl.statistics import TimeToThreshold

UNITS = ("steps", "tokens", "seconds")


class Arrival(NamedTuple):
    """When a run reached the threshold, or that it did not."""

    run: str
    reached: bool
    steps: float
    """Of the first evaluation at or above the threshold, else of the last one."""
    tokens: float
    seconds: float
    """NaN where no times were recorded."""


@dataclass(frozen=True, slots=True)
class ArmArrival:
    """One arm's way to the threshold, in one unit."""

    arm: str
    unit: str
    time: TimeToThreshold
    p_value: float | None
    """Log-rank test against the baseline; None for the baseline itself."""
    p_holm: float | None
    """Corrected for the arms, in this unit."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Times to one threshold on one benchmark."""

    benchmark: str
    threshold: float
    arrivals: tuple[Arrival, ...]
    by_arm: tuple[ArmArrival, ...]
    missing: tuple[str, ...]
    """Runs that were not evaluated on the benchmark."""


def measure_thresholds(
    arms: Sequence[Arm], baseline: Arm, benchmark: str, threshold: float
) -> Thresholds:
    """Find when every run reached a score, and compare the arms with the baseline.

    A run counts from its first evaluation at or above the threshold; one that has none is censored
    at its last evaluation. What happened between two evaluations is not known, so times are late by
    up to the distance of evaluations.

    Raises:
        EvaluationError: The benchmark was evaluated in no run, or the threshold is not finite.
    """
    if not math.isfinite(threshold):
        raise EvaluationError(f"--threshold: found {threshold}, required: a finite score")
    arrivals = {
        arm.label: [_arrival(run, benchmark, threshold) for run in arm.runs] for arm in arms
    }
    known = {label: [a for a in found if a is not None] for label, found in arrivals.items()}
    if not any(known.values()):
        raise EvaluationError(
            f"--threshold: no run was evaluated on {benchmark!r}; required: a benchmark of the "
            "runs; name it with --hard"
        )
    by_arm = [entry for unit in UNITS for entry in _compare(arms, baseline, known, unit)]
    return Thresholds(
        benchmark,
        threshold,
        tuple(a for found in known.values() for a in found),
        tuple(by_arm),
        tuple(
            run.label
            for arm in arms
            for run, found in zip(arm.runs, arrivals[arm.label], strict=True)
            if found is None
        ),
    )


def _arrival(run: ComparedRun, benchmark: str, threshold: float) -> Arrival | None:
    rows = [
        row
        for row in sorted(run.evaluations, key=lambda row: row.step)
        if row.benchmark == benchmark and row.avg_at_k.mean is not None
    ]
    if not rows:
        return None
    at = next((row for row in rows if (row.avg_at_k.mean or 0.0) >= threshold), None)
    step = (at or rows[-1]).step
    done = [record for record in run.steps if record.step < step]
    seconds = seconds_by_step(run.directory)
    spent = [seconds.get(record.step, math.nan) for record in done]
    return Arrival(
        run.label,
        at is not None,
        step,
        cumulative_tokens(done)[-1] if done else 0.0,
        math.fsum(spent),
    )


def _compare(
    arms: Sequence[Arm], baseline: Arm, known: dict[str, list[Arrival]], unit: str
) -> list[ArmArrival]:
    from rephrase_rl.statistics import holm, log_rank_p_value, time_to_threshold

    times = {
        label: [(getattr(a, unit), a.reached) for a in found] for label, found in known.items()
    }
    usable = [
        arm
        for arm in arms
        if times[arm.label] and all(math.isfinite(time) for time, _ in times[arm.label])
    ]
    p_values: list[float | None] = []
    for arm in usable:
        if arm is baseline or baseline not in usable:
            p_values.append(None)
            continue
        own, other = (list(zip(*times[a.label], strict=True)) for a in (arm, baseline))
        p_values.append(log_rank_p_value(*own, *other))
    return [
        ArmArrival(
            arm.label, unit, time_to_threshold(*zip(*times[arm.label], strict=True)), p, adjusted
        )
        for arm, p, adjusted in zip(usable, p_values, holm(p_values), strict=True)
    ]
