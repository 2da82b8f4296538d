"""How long until a threshold is reached, when some runs never reach it.

A run that ends below the threshold is censored: it tells that its time is longer than it lasted.
Leaving such runs out, or taking their length for their time, makes a method look faster the more of
its runs fail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import comb
from scipy.stats import chi2

from rephrase_rl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_LABELLINGS = 20_000
"""Up to so many ways to divide the runs all are tried; beyond, the log-rank's own p-value is used,
whose approximation is good for so many runs."""


@dataclass(frozen=True, slots=True)
class TimeToThreshold:
    """Kaplan-Meier's estimate of the median time, and what it rests on."""

    median: float | None
    """None: fewer than half of the runs are estimated to reach the threshold within the time
    observed."""
    low: float | None
    """Of the 95 % interval (log-log); None where it has no such end."""
    high: float | None
    num_runs: int
    num_reached: int


def time_to_threshold(times: Sequence[float], reached: Sequence[bool]) -> TimeToThreshold:
    """Estimate the median time to a threshold with Kaplan and Meier's method.

    Source: Kaplan and Meier 1958; the interval by Brookmeyer and Crowley 1982 from log-log bounds;
    computed by lifelines.

    Args:
        times: Of each run: when it reached the threshold, or how long it lasted if it did not.
        reached: Whether it did.

    Raises:
        EvaluationError: There is no run, or a time is not finite or negative.
    """
    _check(times, reached)
    # Here and not above: lifelines brings pandas and matplotlib.
    from lifelines import KaplanMeierFitter
    from lifelines.utils import median_survival_times

    estimate = KaplanMeierFitter().fit(list(times), event_observed=list(reached))
    ends = median_survival_times(estimate.confidence_interval_).iloc[0]
    return TimeToThreshold(
        median=_finite(estimate.median_survival_time_),
        low=_finite(min(ends)),
        high=_finite(max(ends)),
        num_runs=len(times),
        num_reached=sum(map(bool, reached)),
    )


def log_rank_p_value(
    times: Sequence[float],
    reached: Sequence[bool],
    other_times: Sequence[float],
    other_reached: Sequence[bool],
) -> float:
    """Two-sided p-value of the log-rank test of equal times in two arms.

    The usual chi-square distribution of its statistic holds for many runs. With the few seeds of a
    comparison the statistic is held against its values under all divisions of the runs into arms of
    these sizes instead, which is exact: with 3 and 3 runs no p-value is below 2 / 20.

    Source: Mantel 1966; Peto and Peto 1972.

    Args:
        times: As in ``time_to_threshold``, of one arm.
        reached: Likewise.
        other_times: Of the other arm.
        other_reached: Likewise.

    Raises:
        EvaluationError: An arm has no run, or a time is negative or not finite.
    """
    _check(times, reached)
    _check(other_times, other_reached)
    first, total = len(times), len(times) + len(other_times)
    times_N = np.asarray([*times, *other_times], dtype=float)
    reached_N = np.asarray([*reached, *other_reached], dtype=bool)
    own = np.arange(total) < first
    observed = float(log_rank_statistics(times_N, reached_N, own[None, :])[0])
    if comb(total, first, exact=True) > MOST_LABELLINGS:
        return float(chi2.sf(observed, 1))
    arms = np.zeros((comb(total, first, exact=True), total), dtype=bool)
    for row, chosen in enumerate(combinations(range(total), first)):
        arms[row, list(chosen)] = True
    # Equal sums in another order differ in the last digits; they are to count as equal.
    beyond = log_rank_statistics(times_N, reached_N, arms) >= observed * (1 - 1e-9)
    return float(beyond.mean())


def log_rank_statistics(
    times_N: NDArray[np.float64], reached_N: NDArray[np.bool_], arms_MN: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Log-rank chi-square (1 degree of freedom) for M divisions of N runs into two arms.

    ``(sum_t O_t - E_t)^2 / sum_t V_t`` over the times t at which a run reaches the threshold; with
    d of n runs at risk reaching it and n_1 of these n in the first arm, ``E = d n_1 / n`` and
    ``V = d (n_1/n) (1 - n_1/n) (n - d) / (n - 1)``. 0 where nothing varies.

    Args:
        times_N: When each run reached the threshold or ended, shape (N,).
        reached_N: Whether it reached it, shape (N,).
        arms_MN: Which runs are the first arm, shape (M, N).
    """
    moments_T = np.unique(times_N[reached_N])
    at_risk_TN = times_N >= moments_T[:, None]
    events_TN = (times_N == moments_T[:, None]) & reached_N
    risk_T, events_T = at_risk_TN.sum(axis=1), events_TN.sum(axis=1)
    share_MT = (arms_MN.astype(float) @ at_risk_TN.T) / risk_T
    surplus_M = (arms_MN.astype(float) @ events_TN.T - events_T * share_MT).sum(axis=1)
    ties_T = (risk_T - events_T) / np.maximum(risk_T - 1, 1)
    variance_M = (events_T * share_MT * (1 - share_MT) * ties_T).sum(axis=1)
    return np.divide(surplus_M**2, variance_M, out=np.zeros(len(arms_MN)), where=variance_M > 1e-12)


def _check(times: Sequence[float], reached: Sequence[bool]) -> None:
    bad = [time for time in times if not math.isfinite(time) or time < 0]
    if len(times) == 0 or bad or len(times) != len(reached):
        raise EvaluationError(
            f"times to a threshold: found {len(times)} times and {len(reached)} outcomes"
            + (f", among the times {bad[:3]}" if bad else "")
            + "; required: at least one run, each with a time from 0 and whether it got there"
        )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
