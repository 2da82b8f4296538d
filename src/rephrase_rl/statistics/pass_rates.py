"""Pass rates of problems: how sure they are, and how they are spread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.statistics.share_interval import clustered_share_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.statistics.intervals import Interval

MOST_BINS = 16
"""Steps from 0 to 1 in a histogram, however many samples there are."""


class Bin(NamedTuple):
    """One bar of a histogram of pass rates."""

    label: str
    """Centre of the bin as a share, or ``none`` for problems without a rate."""
    problems: int


def pass_rate_interval(passed: int, scored: int, *, confidence: float = 0.95) -> Interval:
    """Share of one problem's samples that pass, with Wilson's score interval.

    The samples of one problem are independent draws, so they are the units here.

    Args:
        passed: Samples that pass.
        scored: Samples that could be judged; the others count neither as passed nor as failed.
        confidence: Coverage, in (0, 1).

    Example:
        >>> interval = pass_rate_interval(0, 8)
        >>> interval.mean, interval.low, round(interval.high, 3)  # z^2 / (n + z^2), z = 1.96
        (0.0, 0.0, 0.324)
    """
    values = [[1.0]] * passed + [[0.0]] * (scored - passed)
    return clustered_share_interval(values, confidence=confidence)


def pass_rate_histogram(rates: Sequence[float], samples: int) -> list[Bin]:
    """Count pass rates around the shares k / bins; exactly 0 and exactly 1 are bins of their own.

    Args:
        rates: One per problem; NaN where there is none.
        samples: Samples per problem: as many steps from 0 to 1, up to ``MOST_BINS``.

    Returns:
        From 0 to 1; at the end the problems without a rate, if there are any.

    Example:
        >>> [bin.problems for bin in pass_rate_histogram([0.0, 0.0, 0.5, 0.49, 1.0], 2)]
        [2, 2, 1]
    """
    steps = min(max(samples, 1), MOST_BINS)
    counts = [0] * (steps + 1)
    missing = 0
    for rate in rates:
        if math.isnan(rate):
            missing += 1
        else:
            counts[_bin_of(rate, steps)] += 1
    bins = [Bin(f"{step / steps:.3g}", count) for step, count in enumerate(counts)]
    return [*bins, Bin("none", missing)] if missing else bins


def _bin_of(rate: float, steps: int) -> int:
    if rate <= 0 or rate >= 1:
        return steps if rate >= 1 else 0
    return min(max(round(rate * steps), 1), max(steps - 1, 1))
