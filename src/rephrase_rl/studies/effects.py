"""Differences between arms, with intervals over seeds and problems and a test over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from rephrase_rl.statistics.hierarchical import compare_methods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

BOOTSTRAP_SEED = 0
NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference with its 95 % interval."""

    what: str
    difference: float
    low: float
    """Of the t interval, by which claims are judged; NaN with fewer than two runs of an arm."""
    high: float
    bootstrap_low: float
    """Of the bootstrap over seeds and problems; NaN with fewer than five runs of an arm."""
    bootstrap_high: float
    p_value: float | None
    """Of the permutation test over seeds; None: there is no second arm."""
    seeds: tuple[int, int]
    """Runs of the two arms; the second is 0 where there is none."""
    over_policies: tuple[float, float] = (math.nan, math.nan)
    """95 % t interval of the mean over starting policies, each counted once: runs from one policy
    are more alike than runs from two. NaN with fewer than two policies."""


def effect(
    what: str,
    tables: Sequence[FloatArray],
    others: Sequence[FloatArray] = (),
    *,
    num_resamples: int = NUM_RESAMPLES,
) -> Effect:
    """Mean over seeds and problems of one arm minus that of another.

    Args:
        what: Words for it.
        tables: One row of numbers per run, a number for each test problem.
        others: The same problems under the other arm. Empty: the difference to 0 everywhere, for
            rows that are differences to the starting policy already.
        num_resamples: Of the bootstrap; 0: none.
    """
    first = np.vstack(tables)
    second = np.vstack(others) if others else np.zeros((len(first), first.shape[1]))
    found = compare_methods(first, second, seed=BOOTSTRAP_SEED, num_resamples=num_resamples)
    return Effect(
        what,
        found.difference,
        found.low,
        found.high,
        found.bootstrap_low,
        found.bootstrap_high,
        permutation_p(first.mean(axis=1), second.mean(axis=1)) if others else None,
        (len(first), len(second) if others else 0),
    )


def permutation_p(first: FloatArray, second: FloatArray) -> float:
    """Two-sided p-value of exchanging the labels of the runs, all ways where they can be tried.

    Example:
        >>> permutation_p(np.array([1.0, 1.1, 1.2]), np.array([0.1, 0.2, 0.3]))
        0.1
    """
    found = stats.permutation_test(
        (first, second),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type="independent",
        vectorized=True,
        n_resamples=99_999,
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    )
    return float(found.pvalue)
