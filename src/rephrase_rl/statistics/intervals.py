"""Confidence intervals of means, with problems (or seeds) as the independent units.

Several samples of one problem are not independent observations: an interval that treats them so is
too narrow by up to the square root of their number. Everything here therefore reduces a problem to
one number, its mean, first. NaN marks a value that could not be judged; it is left out, never
counted as 0, and ``n_clusters`` tells how many problems were left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy import stats

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics.clusters import (
    FloatArray,
    check_confidence,
    cluster_means,
    means_with_gaps,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

IntervalMethod: TypeAlias = Literal["t", "bootstrap", "score"]
"""How the ends were found; see the function of each."""

_BOOTSTRAP_CHUNK = 256
"""Resamples drawn at once: bounds memory at 256 x problems indices."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    """NaN if nothing could be scored."""
    low: float
    """NaN where the ends cannot be told, as from a single cluster by the t method."""
    high: float
    n_clusters: int
    """Independent units behind the mean: problems with a scored sample, or seeds."""
    confidence: float = 0.95
    method: IntervalMethod = "t"


def clustered_mean_interval(
    values_PK: Sequence[Sequence[float]] | FloatArray,
    *,
    confidence: float = 0.95,
    method: Literal["t", "bootstrap"] = "t",
    seed: int = 0,
    num_resamples: int = 2000,
) -> Interval:
    """Return the mean over problems of each problem's mean, with an interval over problems.

    ``t``: mean +- t(P-1) * s / sqrt(P), s the sample standard deviation of the problem means. It
    has no width if all problem means are equal; for shares near 0 or 1 use
    ``clustered_share_interval``. ``bootstrap``: percentiles of the mean when P problems are drawn
    with replacement.

    Args:
        values_PK: One sequence per problem, of any lengths; NaN is left out.
        confidence: Coverage, in (0, 1).
        method: See above.
        seed: Of the bootstrap.
        num_resamples: Of the bootstrap.

    Returns:
        The interval; all NaN and ``n_clusters`` 0 if nothing was scored, ends NaN from one problem.

    Raises:
        EvaluationError: ``confidence`` is outside (0, 1).

    Example:
        >>> interval = clustered_mean_interval([[1, 1], [0, float("nan")], [0, 1]])
        >>> interval.mean, interval.n_clusters
        (0.5, 3)
    """
    check_confidence(confidence)
    means_P = cluster_means(values_PK)
    if method == "t":
        return _t_interval(means_P, confidence)
    num_problems = len(means_P)
    if num_problems < 2:
        return _degenerate(means_P, confidence, "bootstrap")
    generator = np.random.default_rng(seed)
    resampled: list[FloatArray] = []
    for start in range(0, num_resamples, _BOOTSTRAP_CHUNK):
        rows = min(_BOOTSTRAP_CHUNK, num_resamples - start)
        chosen = generator.integers(0, num_problems, size=(rows, num_problems))
        resampled.append(means_P[chosen].mean(axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(resampled), [tail, 1 - tail])
    mean = float(means_P.mean())
    return Interval(mean, float(low), float(high), num_problems, confidence, "bootstrap")


def paired_difference_interval(
    values_PK: Sequence[Sequence[float]] | FloatArray,
    other_values_PK: Sequence[Sequence[float]] | FloatArray,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the mean difference (first minus second) of problem means, t interval over problems.

    Both must hold the same problems in the same order. A problem that either side could not score
    at all is left out of both. Pairing removes the spread of difficulty between problems, which is
    most of the variance when two policies are compared.

    Args:
        values_PK: One sequence per problem; NaN is left out.
        other_values_PK: The same problems under the other policy.
        confidence: Coverage, in (0, 1).

    Raises:
        EvaluationError: The numbers of problems differ, or ``confidence`` is out of range.
    """
    check_confidence(confidence)
    if len(values_PK) != len(other_values_PK):
        raise EvaluationError(
            f"paired comparison of {len(values_PK)} with {len(other_values_PK)} problems, "
            "required: the same problems in the same order; evaluate both with the same file"
        )
    differences_P = means_with_gaps(values_PK) - means_with_gaps(other_values_PK)
    return _t_interval(differences_P[~np.isnan(differences_P)], confidence)


def seed_mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the mean of one figure over repeated runs, with a t interval over the seeds.

    Args:
        values: One figure per seed.
        confidence: Coverage, in (0, 1).

    Returns:
        The interval; its ends are NaN for a single seed.

    Raises:
        EvaluationError: A value is not finite. A run without a figure is a failed run and must be
            reported as one, not averaged away.

    Example:
        >>> interval = seed_mean_interval([1.0, 2.0, 3.0])
        >>> round(interval.low, 3), round(interval.high, 3)  # 2 -+ 4.303 / sqrt(3)
        (-0.484, 4.484)
    """
    check_confidence(confidence)
    array = np.asarray(values, dtype=np.float64)
    bad = [index for index, value in enumerate(array) if not math.isfinite(value)]
    if bad:
        raise EvaluationError(
            f"no finite figure from the seeds at positions {bad}, required: one per seed; repeat "
            "these runs or report them as failed and leave them out yourself"
        )
    return _t_interval(array, confidence)


def _t_interval(means_P: FloatArray, confidence: float) -> Interval:
    if len(means_P) < 2:
        return _degenerate(means_P, confidence, "t")
    mean = float(means_P.mean())
    if means_P.max() == means_P.min():
        # The rounded mean of equal values can differ from them, which would give a false width.
        return Interval(
            float(means_P[0]), float(means_P[0]), float(means_P[0]), len(means_P), confidence, "t"
        )
    half = float(
        stats.t.ppf((1 + confidence) / 2, len(means_P) - 1)
        * means_P.std(ddof=1)
        / math.sqrt(len(means_P))
    )
    return Interval(mean, mean - half, mean + half, len(means_P), confidence, "t")


def _degenerate(means_P: FloatArray, confidence: float, method: IntervalMethod) -> Interval:
    """Return what can be said of fewer than two clusters: the mean, if there is one."""
    mean = float(means_P[0]) if len(means_P) else math.nan
    return Interval(mean, math.nan, math.nan, len(means_P), confidence, method)
