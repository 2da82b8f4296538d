"""Two methods on the same problems, each trained with several seeds.

A method is more than one checkpoint: its next run has another seed, and a benchmark's problems are
a draw too. Both have to vary in an interval about methods. Scores of an arm form a table of seeds
by problems; the problems are common to both arms, so their difficulty cancels in the difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats
from scipy.special import comb

from rephrase_rl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

MIN_BOOTSTRAP_SEEDS = 5
"""Fewer seeds in either arm get no bootstrap. Drawing S seeds with replacement shows (S - 1) / S of
their variance and no heavier tail: where seeds differ much, a true null was refused at 0.05 in 27 %
of simulated comparisons with 2 seeds, 17 % with 3, 10 % with 5, 7 % with 10, and by the t test in 3
to 5 % (``scripts/method_test_levels.py``)."""

_RESAMPLES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class MethodDifference:
    """Mean score of one method minus that of another, over seeds and problems."""

    difference: float
    low: float
    """Of the t interval; NaN where it cannot be told."""
    high: float
    p_value: float | None
    """Two-sided, of the t test. None: fewer than two seeds in an arm, or no common problem."""
    degrees_of_freedom: float
    """NaN where nothing varies."""
    bootstrap_low: float
    """Percentile interval of the bootstrap over seeds and problems; NaN with too few seeds."""
    bootstrap_high: float
    bootstrap_p_value: float | None
    num_seeds: tuple[int, int]
    num_problems: int
    """Problems scored in every run of both arms; the others are left out."""
    confidence: float = 0.95


class _Component(NamedTuple):
    """A part of the variance of the difference: its size with its sign, and what it rests on."""

    variance: float
    degrees_of_freedom: float


def compare_methods(
    scores_SP: Sequence[Sequence[float]] | FloatArray,
    other_scores_SP: Sequence[Sequence[float]] | FloatArray,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    num_resamples: int = 5000,
) -> MethodDifference:
    """Compare two methods over seeds and problems.

    The t test takes seeds (each arm its own) and problems (common to both) as random. With
    D_i the difference of problem i between the means over seeds, the variance of the mean
    difference is estimated by

        s^2(seed means)/S + s'^2(other seed means)/S' + s^2(D)/P - residual

    where the residual, the noise of single cells, is contained in the first three twice and so
    taken off once; the result is never below the seeds' part nor below the problems' part. Degrees
    of freedom are Satterthwaite's. With two seeds the interval is wide, and right.

    The bootstrap draws seeds of each arm and problems with replacement, independently (the
    pigeonhole bootstrap, Owen 2007), and is made from ``MIN_BOOTSTRAP_SEEDS`` seeds per arm on. It
    is the second opinion; the p-value to be quoted is that of the t test.

    Where nothing varies at all, no t test is possible; the p-value is then that of exchanging the
    labels of the runs: 2 / C(S + S', S) if the arms differ, 1 if they do not.

    Args:
        scores_SP: Mean score of each problem (columns) in each run (rows) of the first method; NaN
            where a run could not be scored on a problem.
        other_scores_SP: The same problems in the same order under the other method.
        confidence: Coverage, in (0, 1).
        seed: Of the bootstrap.
        num_resamples: Of the bootstrap. 0: none.

    Raises:
        EvaluationError: The tables have no run, or not the same number of problems.
    """
    first, other = _tables(scores_SP, other_scores_SP)
    scored = ~(np.isnan(first).any(axis=0) | np.isnan(other).any(axis=0))
    first, other = first[:, scored], other[:, scored]
    seeds, problems = (len(first), len(other)), first.shape[1]
    nothing = MethodDifference(
        *(math.nan, math.nan, math.nan, None, math.nan, math.nan, math.nan, None),
        num_seeds=seeds,
        num_problems=problems,
        confidence=confidence,
    )
    if problems == 0:
        return nothing
    difference = float(first.mean() - other.mean())
    low = high = freedom = bootstrap_low = bootstrap_high = math.nan
    p_value = bootstrap_p = None
    if min(seeds) >= 2:
        error, freedom = _standard_error(first, other)
        low, high, p_value = _t_test(difference, error, freedom, confidence)
        if error == 0:
            freedom, p_value = math.nan, _label_p_value(difference, seeds)
    if min(seeds) >= MIN_BOOTSTRAP_SEEDS and num_resamples > 0:
        drawn = _bootstrap(first, other, np.random.default_rng(seed), num_resamples)
        tail = (1 - confidence) / 2
        bootstrap_low, bootstrap_high = map(float, np.quantile(drawn, [tail, 1 - tail]))
        bootstrap_p = _share_beyond(drawn)
    return MethodDifference(
        difference,
        low,
        high,
        p_value,
        freedom,
        bootstrap_low,
        bootstrap_high,
        bootstrap_p,
        seeds,
        problems,
        confidence,
    )


def _tables(
    scores_SP: Sequence[Sequence[float]] | FloatArray,
    other_scores_SP: Sequence[Sequence[float]] | FloatArray,
) -> tuple[FloatArray, FloatArray]:
    widths = {len(row) for row in (*scores_SP, *other_scores_SP)}
    if not len(scores_SP) or not len(other_scores_SP) or len(widths) != 1:
        raise EvaluationError(
            f"comparison of methods: found {len(scores_SP)} and {len(other_scores_SP)} runs with "
            f"{sorted(widths)} problems, required: at least one run each and the same problems in "
            "the same order; evaluate all runs with the same file"
        )
    return np.asarray(scores_SP, dtype=float), np.asarray(other_scores_SP, dtype=float)


def _standard_error(first: FloatArray, other: FloatArray) -> tuple[float, float]:
    """Standard error of the mean difference, and its degrees of freedom."""
    problems = first.shape[1]
    seeds = [_Component(_variance(t.mean(axis=1)) / len(t), len(t) - 1) for t in (first, other)]
    parts = list(seeds)
    if problems > 1:
        differences_P = first.mean(axis=0) - other.mean(axis=0)
        parts.append(_Component(_variance(differences_P) / problems, problems - 1))
        for table in (first, other):
            freedom = (len(table) - 1) * (problems - 1)
            residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
            cells = float((residual**2).sum()) / freedom
            parts.append(_Component(-cells / table.size, freedom))
    of_seeds = sum(part.variance for part in seeds)
    of_problems = parts[2].variance if problems > 1 else 0.0
    variance = max(sum(part.variance for part in parts), of_seeds, of_problems)
    if variance <= 0:
        return 0.0, math.nan
    spread = sum(p.variance**2 / p.degrees_of_freedom for p in parts)
    return math.sqrt(variance), variance**2 / spread


def _t_test(
    difference: float, error: float, freedom: float, confidence: float
) -> tuple[float, float, float]:
    """Ends of the interval and the p-value; no width if nothing varies."""
    if error == 0:
        return difference, difference, math.nan
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    p_value = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return difference - half, difference + half, p_value


def _label_p_value(difference: float, seeds: tuple[int, int]) -> float:
    """The smallest p-value that exchanging the labels of so many runs can give."""
    if difference == 0:
        return 1.0
    return 2 / comb(sum(seeds), seeds[0], exact=True)


def _variance(values: FloatArray) -> float:
    """Sample variance; exactly 0 for equal values, whose rounded mean can differ from them."""
    return 0.0 if values.max() == values.min() else float(values.var(ddof=1))


def bootstrap_p_value(
    first: FloatArray, other: FloatArray, generator: np.random.Generator, num_resamples: int
) -> float:
    """Two-sided p-value of the bootstrap alone, also where its seeds are too few to be quoted."""
    return _share_beyond(_bootstrap(first, other, generator, num_resamples))


def _share_beyond(drawn: FloatArray) -> float:
    """Twice the share of differences on the other side of 0; the observed one counts as one."""
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(drawn) + 1))


def _bootstrap(
    first: FloatArray, other: FloatArray, generator: np.random.Generator, num_resamples: int
) -> FloatArray:
    """Mean differences when seeds and problems are drawn with replacement."""
    problems = first.shape[1]
    even = np.full(problems, 1 / problems)
    drawn = []
    for start in range(0, num_resamples, _RESAMPLES_AT_ONCE):
        rows = min(_RESAMPLES_AT_ONCE, num_resamples - start)
        weights_RP = generator.multinomial(problems, even, size=rows) / problems
        means_R = np.zeros(rows)
        for table, sign in ((first, 1.0), (other, -1.0)):
            seeds = len(table)
            weights_RS = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=rows) / seeds
            means_R += sign * ((weights_RS @ table) * weights_RP).sum(axis=1)
        drawn.append(means_R)
    return np.concatenate(drawn)
