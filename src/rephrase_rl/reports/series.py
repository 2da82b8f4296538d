"""Series of numbers over steps, taken from a run; missing figures stay missing (NaN)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import StepRecord

TOKEN_METRICS = ("tokens/rollout", "tokens/rephrase")
"""What training generates at each step; their sum is the token budget."""

MOST_POINTS = 1000
"""Points of one line of a figure: more than there are columns of pixels in a panel, so that the
figure of a long run looks the same and stays small."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity, or a few that belong together, over the course of a run."""

    title: str
    lines: tuple[tuple[str, str], ...]
    """Metric and its label."""
    unit: str = ""
    share: bool = False
    """Whether the axis runs from 0 to 1."""


PANELS = (
    Panel("Reward", (("reward", "mean reward"),)),
    Panel(
        "Groups without spread",
        (
            ("groups/all_failed_fraction", "all failed"),
            ("groups/all_passed_fraction", "all passed"),
        ),
        unit="share of groups",
        share=True,
    ),
    Panel(
        "Guidance",
        (
            ("gate/open_fraction", "gate open (of groups)"),
            ("injection/accept_fraction", "accepted (of candidates)"),
            ("injection/rescued_fraction", "rescued (of groups)"),
        ),
        unit="share",
        share=True,
    ),
    Panel(
        "Log-probability of injected text",
        (
            ("injection/logp_on_q", "given the question"),
            ("injection/logp_on_context", "given the rephrase prompt"),
        ),
        unit="nats per token",
    ),
    Panel("Loss", (("loss", "loss"),)),
    Panel(
        "Generated tokens",
        (("tokens/rollout", "rollouts"), ("tokens/rephrase", "rewrites")),
        unit="tokens per step",
    ),
)
"""What a report draws, in this order; panels without any figure are left out and named."""


def values_of(steps: Sequence[StepRecord], metric: str) -> list[float]:
    """Return the metric at every step, NaN where it is absent or null."""
    values = (record.metrics.get(metric) for record in steps)
    return [math.nan if value is None else float(value) for value in values]


def has_figures(values: Sequence[float]) -> bool:
    """Whether at least one value is a number."""
    return any(math.isfinite(value) for value in values)


def smoothing_window(num_steps: int) -> int:
    """Return the width of the moving average: an odd number, about a twentieth of the run."""
    return 2 * (num_steps // 40) + 1


def moving_average(
    values: Sequence[float], window: int, at: Sequence[int] | None = None
) -> list[float]:
    """Return the centred mean over ``window`` steps, of the values that are numbers.

    At the ends the window is cut short. Where it holds no number at all the result is NaN.

    Args:
        values: One value per step; NaN where missing.
        window: Odd, in steps.
        at: Positions of the centres. None: every step.
    """
    half = window // 2
    averages = []
    for center in range(len(values)) if at is None else at:
        near = values[max(0, center - half) : center + half + 1]
        finite = [value for value in near if math.isfinite(value)]
        averages.append(math.fsum(finite) / len(finite) if finite else math.nan)
    return averages


def evenly_spaced(items: Sequence[int], count: int) -> list[int]:
    """Return ``count`` distinct items at even distances, the first and the last among them."""
    if count <= 1:
        return list(items[:count])
    last = len(items) - 1
    return [items[position * last // (count - 1)] for position in range(count)]


def outline(values: Sequence[float], most: int) -> list[int]:
    """Return positions that draw the same picture as all values: no peak and no dip is lost.

    Of more than ``most`` values, every stretch of equal length gives its smallest and its largest
    number, in their order; a stretch without a number gives its first, so that a gap stays a gap.

    Args:
        values: One value per step; NaN where missing.
        most: Most positions returned, at least 2.

    Example:
        >>> outline([0.0, 9.0, 1.0, 5.0, 4.0, 5.0], 4)
        [0, 1, 3, 4]
    """
    count = len(values)
    if count <= most:
        return list(range(count))
    bins = most // 2
    kept: list[int] = []
    for number in range(bins):
        stretch = range(number * count // bins, (number + 1) * count // bins)
        finite = [place for place in stretch if math.isfinite(values[place])]
        if finite:
            lowest = min(finite, key=values.__getitem__)
            highest = max(finite, key=values.__getitem__)
            kept += sorted({lowest, highest})
        else:
            kept.append(stretch[0])
    return kept


def cumulative_tokens(steps: Sequence[StepRecord]) -> list[float]:
    """Return the tokens that training has generated up to and including each step.

    A step without a figure adds nothing; ``budgets.token_total`` counts such steps.
    """
    total = 0.0
    totals = []
    for record in steps:
        for metric in TOKEN_METRICS:
            value = record.metrics.get(metric)
            if value is not None and math.isfinite(value):
                total += value
        totals.append(total)
    return totals
