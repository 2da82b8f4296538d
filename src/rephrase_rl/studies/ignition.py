"""When own success takes over from injection, and whether the first steps foretell it.

Own rollouts on hard problems begin to succeed when a right text has become likely without the
expert's. Accepted rewrites are right texts, and their log-probability given the question alone,
nats of the whole text (``injection/text_logp``), is measured at every step anyway. In the first
steps its size falls by about the same factor each step, so a straight line through its logarithm
foretells the step at which it reaches a level. With G rollouts one is expected to be right where
that very text has the probability 1 / G, a level of ln G: the latest that own success can begin,
since a right answer has other texts too. The level at which it does begin is found from other runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rephrase_rl.records import JSON

GROUP = 8
"""Rollouts of a group in the studies."""
WINDOW = 3
"""Steps whose own success is averaged."""
FIRST_STEPS = 5
"""Steps that the rule may look at."""
LEAST_STEPS = 3
"""Steps with an accepted rewrite that it needs."""


@dataclass(frozen=True, slots=True)
class Ignition:
    """What happened in one run, and what its first steps foretold."""

    cell_id: str
    cell: Mapping[str, JSON]
    step: int | None
    """First step from which own success on hard problems, mean of three steps, is at least 1 / G;
    None: never."""
    rewrites: int | None
    """Accepted until then."""
    text_logps: tuple[float | None, ...]
    """``injection/text_logp`` of the first steps; None where nothing was accepted."""
    level: float | None
    """Size of the text's log-probability (nats) at the step of ignition, or the last known before
    it; None: it never ignites."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """How good the rule is on some runs."""

    runs: int
    ignited: int
    foretold: int
    """Of those that ignite, how many the rule had a step for within the run."""
    false_alarms: int
    """Runs that never ignite for which it had one."""
    error: float | None
    """Mean distance of what was foretold from what was seen, in steps, over runs with both."""


def observe(summary: Mapping[str, JSON]) -> Ignition | None:
    """Read one run; None for one without injected rewrites or without hard problems."""
    own, series = summary.get("own_hard"), summary.get("series", {})
    if not own or "whole_text_logp" not in series:
        return None
    step = ignition_step(own)
    accepted = [value or 0.0 for value in series["accepted"]]
    rewrites = None if step is None else int(sum(accepted[:step]))
    logps = series["whole_text_logp"]
    level = None if step is None else _last_size(logps[: step + 1])
    first = tuple(logps[:FIRST_STEPS])
    return Ignition(summary["id"], summary["cell"], step, rewrites, first, level)


def ignition_step(own_success: Sequence[float], level: float = 1 / GROUP) -> int | None:
    """First step from which the mean own success of three steps reaches the level; from 0.

    Example:
        >>> ignition_step([0.0, 0.0, 0.2, 0.0, 0.3, 0.5])
        2
        >>> ignition_step([0.0, 0.0, 0.0, 0.0]) is None
        True
    """
    starts = range(len(own_success) - WINDOW + 1)
    means = (fmean(own_success[start : start + WINDOW]) for start in starts)
    return next((start for start, mean in enumerate(means) if mean >= level), None)


def foretell(text_logps: Sequence[float | None], level: float = math.log(GROUP)) -> float | None:
    """Step at which the log-probability of a whole rewrite will reach a level.

    Args:
        text_logps: Mean log-probability of accepted rewrites given the question (nats) by step,
            from step 0; None where none was accepted.
        level: Size that it has to fall to (nats).

    Returns:
        The step, from 0; None where it does not rise, or with fewer than three figures.

    Example:
        >>> round(foretell([-16.0, -8.0, -4.0]), 3)  # halves each step; ln 8 = 2.079
        2.944
    """
    known = [(i, math.log(-v)) for i, v in enumerate(text_logps) if v is not None and v < 0]
    if len(known) < LEAST_STEPS:
        return None
    steps, logs = zip(*known, strict=True)
    slope, start = np.polyfit(steps, logs, 1)
    if slope >= 0:
        return None
    return max(0.0, float((math.log(level) - start) / slope))


def level_of(runs: Iterable[Ignition]) -> float | None:
    """Median level at which runs ignite; None: none of them does."""
    levels = [run.level for run in runs if run.level is not None]
    return median(levels) if levels else None


def foresight(runs: Sequence[Ignition], level: float, last: int) -> Foresight:
    """Hold the rule against what happened.

    Args:
        runs: To judge it by.
        level: That the rule waits for, nats.
        last: Steps of a run; what is foretold for later counts as never.
    """
    said = [(run, foretell(run.text_logps, level)) for run in runs]
    within = [(run, step) for run, step in said if step is not None and step <= last]
    both = [(run.step, step) for run, step in within if run.step is not None]
    return Foresight(
        runs=len(runs),
        ignited=sum(run.step is not None for run in runs),
        foretold=len(both),
        false_alarms=len(within) - len(both),
        error=_mean(abs(foretold - seen) for seen, foretold in both),
    )


def usual_error(runs: Sequence[Ignition], others: Sequence[Ignition]) -> float | None:
    """Error of a rule that looks at nothing: the median step at which other runs ignite, in steps.

    Args:
        runs: To judge it by.
        others: Where the median is from, such as runs at the same learning rate.

    Returns:
        The mean distance over runs that ignite; None where there is no such run on either side.
    """
    known = [run.step for run in others if run.step is not None]
    return _mean(abs(median(known) - run.step) for run in runs if run.step is not None and known)


def _last_size(logps: Sequence[float | None]) -> float | None:
    return next((-value for value in reversed(logps) if value is not None), None)


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None
