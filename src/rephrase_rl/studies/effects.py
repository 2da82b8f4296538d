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
    high: float
    method: str
    """How the interval was made: ``bootstrap`` or ``t``."""
    p_value: float | None
    """Of the permutation test over seeds; None: there is no second arm."""
    seeds: tuple[int, int]
    """Runs of the two arms; the second is 0 where there is none."""


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
        num_resamples: Of the bootstrap, which is made from five runs of an arm on; 0: the t
            interval in any case.
    """
    first = np.vstack(tables)
    second = np.vstack(others) if others else np.zeros((len(first), first.shape[1]))
    found = compare_methods(first, second, seed=BOOTSTRAP_SEED, num_resamples=num_resamples)
    low, high, method = found.bootstrap_low, found.bootstrap_high, "bootstrap"
    if math.isnan(low):
        low, high, method = found.low, found.high, "t"
    p_value = permutation_p(first.mean(axis=1), second.mean(axis=1)) if others else None
    return Effect(
        what,
        found.difference,
        low,
        high,
        method,
        p_value,
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
