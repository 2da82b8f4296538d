"""Interval of a share (values in [0, 1]) over problems: Wilson's, with an effective sample size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics.clusters import FloatArray, check_confidence, cluster_means
from rephrase_rl.statistics.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

DOUBT = 2.0
"""Problems' worth of evidence that all samples of one problem agree, put beside what was seen.

Chosen with ``scripts/interval_coverage.py``: with 1.5, coverage of small shares at 30 problems of
32 samples falls below 90 %; with 3, intervals of equally hard problems become too wide."""


def clustered_share_interval(
    values_PK: Sequence[Sequence[float]] | FloatArray,
    *,
    confidence: float = 0.95,
    max_effective_n: float | None = None,
) -> Interval:
    """Return the mean of problem means in [0, 1] with Wilson's score interval, clustered.

    A t interval around "0 of 100 solved" is [0, 0], which claims certainty; Wilson's is [0, 0.037].
    It is used here with an effective sample size, as in surveys. Of P problem means with mean p
    and variance s^2 (ddof 1):

    - ``r = s^2 / (p (1 - p))``, at most 1: their variance as a share of that of single trials. 1
      if all samples of a problem agree, about P / N if the problems are equally hard.
    - Where p is near 0 or 1, few problems tell r badly: it depends on whether the one hard problem
      in a hundred was met. With m, the smaller of the numbers of problems that ever pass and that
      ever fail, ``r' = r^(m / (m + DOUBT))``: without evidence a problem's samples count as one.
    - ``n = min(P / r', N)`` independent trials.

    With one sample per problem this is exactly Wilson's interval of P trials, and it never has
    zero width. ``docs/evaluation.md`` has its coverage.

    Source: Wilson 1927; Korn and Graubard 1998 for the effective sample size; Bowyer,
    Aitchison and Ivanova 2025 (arXiv:2503.01747) on the central limit theorem in small evaluations.

    Args:
        values_PK: One sequence per problem, of any lengths, of values in [0, 1]; NaN is left out.
        confidence: Coverage, in (0, 1).
        max_effective_n: N, upper bound of n; the number of values that are not NaN if None. Give
            the number of samples where a value sums up several of them, as with pass@k.

    Returns:
        The interval, inside [0, 1]; all NaN and ``n_clusters`` 0 if nothing was scored.

    Raises:
        EvaluationError: A value or ``confidence`` is out of range.

    Example:
        >>> round(clustered_share_interval([[0.0]] * 100).high, 3)
        0.037
    """
    check_confidence(confidence)
    means_P = cluster_means(values_PK)
    num_problems = len(means_P)
    if num_problems == 0:
        return Interval(math.nan, math.nan, math.nan, 0, confidence, "score")
    if means_P.min() < 0 or means_P.max() > 1:
        raise EvaluationError(
            f"a share interval got problem means from {means_P.min():g} to {means_P.max():g}, "
            "required: values in [0, 1]; use clustered_mean_interval for other scores"
        )
    if max_effective_n is None:
        max_effective_n = sum(int((~np.isnan(np.asarray(row))).sum()) for row in values_PK)
    share = float(means_P.mean())
    upper = max(float(num_problems), max_effective_n)
    n = _effective_n(means_P, share, upper)
    low, high = wilson_ends(share, n, confidence)
    return Interval(share, low, high, num_problems, confidence, "score")


def wilson_ends(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the ends of Wilson's score interval of ``share`` in ``n`` trials, n need not be whole.

    Source: Wilson 1927.

    Example:
        >>> low, high = wilson_ends(0.5, 4.0, 0.95)
        >>> round(low, 3), round(high, 3)
        (0.15, 0.85)
    """
    z = float(ndtri((1 + confidence) / 2))
    shrink = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    # The ends meet 0 and 1 exactly in theory; rounding must not put them on the wrong side.
    low = 0.0 if share <= 0 else max(0.0, centre - half)
    high = 1.0 if share >= 1 else min(1.0, centre + half)
    return low, high


def _effective_n(means_P: FloatArray, share: float, upper: float) -> float:
    """Return the number of independent trials that tell as much as the problem means do."""
    num_problems = len(means_P)
    single = share * (1 - share)
    if single <= 0 or num_problems < 2:
        return float(num_problems)
    ratio = min(1.0, float(means_P.var(ddof=1)) / single)
    evidence = min(int((means_P > 0).sum()), int((means_P < 1).sum()))
    ratio **= evidence / (evidence + DOUBT)
    return min(upper, num_problems / ratio) if ratio > 0 else upper
