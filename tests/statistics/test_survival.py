"""Times to a threshold against hand calculation, scipy and lifelines."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from lifelines.statistics import logrank_test
from scipy import stats

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics import log_rank_p_value, time_to_threshold
from rephrase_rl.statistics.survival import log_rank_statistics


def test_median_by_hand() -> None:
    # S falls to 4/5 at 10, 3/5 at 20, and, with 2 left of which 1 is at risk after 30, 0 at 40.
    found = time_to_threshold([10, 20, 30, 30, 40], [True, True, False, False, True])
    assert (found.median, found.num_runs, found.num_reached) == (40.0, 5, 3)
    # Without the censored runs the median would be 20: that is the mistake this avoids.
    assert np.median([10, 20, 40]) == 20.0


def test_a_median_that_was_not_reached_is_none() -> None:
    found = time_to_threshold([10, 40, 40], [True, False, False])
    assert (found.median, found.high, found.num_reached) == (None, None, 1)
    assert time_to_threshold([40, 40], [False, False]).median is None


@pytest.mark.filterwarnings("ignore:The confidence interval is undefined")
def test_curve_and_ends_equal_scipys() -> None:
    generator = np.random.default_rng(0)
    times = generator.integers(1, 30, 40).astype(float)
    reached = generator.random(40) < 0.7
    data = stats.CensoredData(uncensored=times[reached], right=times[~reached])
    curve = stats.ecdf(data).sf
    ends = curve.confidence_interval(method="log-log")

    def first_at_half(part) -> float:
        return float(part.quantiles[np.nanargmax(part.probabilities <= 0.5)])

    found = time_to_threshold(times, reached)
    assert found.median == first_at_half(curve)
    assert (found.low, found.high) == (first_at_half(ends.low), first_at_half(ends.high))


def test_the_log_rank_statistic_is_lifelines_and_scipys() -> None:
    generator = np.random.default_rng(1)
    times, reached = generator.integers(1, 12, 30).astype(float), generator.random(30) < 0.6
    arms = np.asarray([generator.permutation(30) < 13 for _ in range(20)])
    found = log_rank_statistics(times, reached, arms)
    for row, arm in enumerate(arms):
        other = ~arm
        result = logrank_test(times[arm], times[other], reached[arm], reached[other])
        assert found[row] == pytest.approx(result.test_statistic, rel=1e-9)
    sides = [
        stats.CensoredData(uncensored=times[a & reached], right=times[a & ~reached])
        for a in (arms[0], ~arms[0])
    ]
    assert found[0] == pytest.approx(stats.logrank(*sides).statistic ** 2, rel=1e-9)


def test_the_log_rank_statistic_down_to_the_last_two_runs() -> None:
    times, reached = np.asarray([1.0, 2, 3, 4]), np.ones(4, dtype=bool)
    for arm in np.asarray([[True, False, True, False], [True, False, False, True]]):
        expected = logrank_test(times[arm], times[~arm]).test_statistic
        (found,) = log_rank_statistics(times, reached, arm[None, :])
        assert found == pytest.approx(expected, rel=1e-9)


def test_few_runs_are_tested_exactly() -> None:
    # The most extreme of the C(6, 3) = 20 divisions, and its mirror image.
    assert log_rank_p_value([1, 2, 3], [True] * 3, [7, 8, 9], [True] * 3) == pytest.approx(2 / 20)
    # Three of one arm reach it, none of the other: again only the mirror image is as far.
    p_value = log_rank_p_value([5, 10, 10], [True] * 3, [40, 40, 40], [False] * 3)
    assert p_value == pytest.approx(2 / 20)
    # The mirror image counts although its sums differ in the last digit.
    assert log_rank_p_value([1, 2], [True] * 2, [8, 5], [True] * 2) == pytest.approx(2 / 6)
    assert log_rank_p_value([9, 9], [False] * 2, [9, 9], [False] * 2) == 1.0
    assert log_rank_p_value([3], [True], [3], [True]) == 1.0


def test_many_runs_use_the_chi_square() -> None:
    generator = np.random.default_rng(2)
    first, other = generator.exponential(1.0, 20), generator.exponential(1.6, 20)
    ones = [True] * 20
    expected = logrank_test(first, other, ones, ones).p_value
    assert log_rank_p_value(first, ones, other, ones) == pytest.approx(expected, rel=1e-9)


def test_the_exact_level_is_kept_with_censoring() -> None:
    """Over all divisions of one fixed set of runs, P(p <= a) <= a: the test's defining property."""
    times = np.asarray([5.0, 10, 10, 20, 30, 40, 40, 40])
    reached = np.asarray([True, True, True, True, True, False, False, False])
    p_values = []
    for chosen in combinations(range(8), 4):
        arm = np.isin(np.arange(8), chosen)
        p_values.append(log_rank_p_value(times[arm], reached[arm], times[~arm], reached[~arm]))
    for level in (0.05, 0.1, 0.3):
        assert np.mean(np.asarray(p_values) <= level + 1e-9) <= level


@pytest.mark.parametrize(
    ("times", "reached"), [([], []), ([1.0], [True, True]), ([-1.0], [True]), ([np.inf], [False])]
)
def test_what_is_no_time_is_refused(times, reached) -> None:
    with pytest.raises(EvaluationError, match="required: at least one run"):
        time_to_threshold(times, reached)
    with pytest.raises(EvaluationError, match="required: at least one run"):
        log_rank_p_value(times, reached, [1.0], [True])
    with pytest.raises(EvaluationError, match="required: at least one run"):
        log_rank_p_value([1.0], [True], times, reached)


def test_a_threshold_may_be_reached_from_the_start() -> None:
    assert time_to_threshold([0.0, 0.0, 3.0], [True] * 3).median == 0.0
