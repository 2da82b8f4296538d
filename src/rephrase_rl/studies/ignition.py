"""When own success takes over from injection, and whether the first steps foretell it.

Own rollouts on hard problems begin to succeed when a right text has become likely without the
expert's: with G rollouts one is expected to be right once that likelihood reaches 1 / G. Accepted
rewrites are right texts, and their log-probability given the question alone, nats of the whole text
(``injection/text_logp``), is measured at every step anyway. In the first steps its size falls by
about the same factor each step, so a straight line through its logarithm foretells the step at
which it reaches ln G. Nothing in this rule is fitted to a run other than the one it speaks of.
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
    foretold: float | None
    """Step by the rule; None: it says never, or there were too few accepted rewrites to ask it."""


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
    constant_error: float | None
    """The same for the median step of all other runs, which is what one knows without the rule."""


def observe(summary: Mapping[str, JSON]) -> Ignition | None:
    """Read one run; None for one without injected rewrites or without hard problems."""
    own, series = summary.get("own_hard"), summary.get("series", {})
    if not own or "whole_text_logp" not in series:
        return None
    step = ignition_step(own)
    accepted = [value or 0.0 for value in series["accepted"]]
    rewrites = None if step is None else int(sum(accepted[:step]))
    foretold = foretell(series["whole_text_logp"][:FIRST_STEPS])
    return Ignition(summary["id"], summary["cell"], step, rewrites, foretold)


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


def foretell(text_logps: Sequence[float | None], group: int = GROUP) -> float | None:
    """Step at which the log-probability of a whole rewrite will reach -ln G.

    Args:
        text_logps: Mean log-probability of accepted rewrites given the question (nats) by step,
            from step 0; None where none was accepted.
        group: G.

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
    return max(0.0, float((math.log(math.log(group)) - start) / slope))


def foresight(runs: Sequence[Ignition], last: int) -> Foresight:
    """Hold the rule against what happened.

    Args:
        runs: To judge it by.
        last: Steps of a run; what is foretold for later counts as never.
    """
    seen = [run for run in runs if run.step is not None]
    said = [run for run in runs if run.foretold is not None and run.foretold <= last]
    both = [run for run in said if run.step is not None]
    return Foresight(
        runs=len(runs),
        ignited=len(seen),
        foretold=len(both),
        false_alarms=len(said) - len(both),
        error=_mean(abs((run.foretold or 0.0) - (run.step or 0)) for run in both),
        constant_error=_mean(
            abs(median(other.step or 0 for other in seen if other is not run) - (run.step or 0))
            for run in both
            if len(seen) > 1
        ),
    )


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None
