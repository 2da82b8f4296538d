"""Intervals against scipy, closed forms and their defining properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rephrase_rl.errors import EvaluationError
from rephrase_rl.records import from_json, to_json
from rephrase_rl.statistics import (
    Interval,
    clustered_mean_interval,
    clustered_share_interval,
    paired_difference_interval,
    seed_mean_interval,
)
from rephrase_rl.statistics.share_interval import wilson_ends

NAN = math.nan
PROFILE = settings(derandomize=True, deadline=None, max_examples=50)
SCORES = st.one_of(st.sampled_from([0.0, 1.0, NAN]), st.floats(0, 1))
GROUPS = st.lists(st.lists(SCORES, min_size=0, max_size=5), min_size=0, max_size=12)
PASSES = st.lists(
    st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3), min_size=1, max_size=12
)


def test_t_interval_equals_scipys() -> None:
    values_PK = np.random.default_rng(0).random((9, 4))
    means = values_PK.mean(axis=1)
    expected = stats.ttest_1samp(means, 0.0).confidence_interval(0.9)
    found = clustered_mean_interval(values_PK, confidence=0.9)
    assert found.mean == pytest.approx(means.mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.n_clusters == 9


def test_samples_of_a_problem_are_not_counted_as_independent() -> None:
    once = [[0.0], [1.0], [1.0], [0.0]]
    repeated = [row * 16 for row in once]
    assert clustered_mean_interval(repeated) == clustered_mean_interval(once)


def test_the_bootstrap_agrees_with_scipys() -> None:
    means = np.random.default_rng(1).random(40)
    expected = stats.bootstrap(
        (means,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(5)
    ).confidence_interval
    found = clustered_mean_interval(means[:, None], method="bootstrap", num_resamples=4000, seed=3)
    # Two bootstraps of 4,000 differ by about 1.5 % of the standard error at the 2.5 % point.
    error = means.std() / math.sqrt(len(means))
    assert found.low == pytest.approx(expected.low, abs=0.15 * error)
    assert found.high == pytest.approx(expected.high, abs=0.15 * error)


def test_the_bootstrap_is_that_of_so_many_draws_of_all_problems() -> None:
    means = np.random.default_rng(1).random(6)
    chosen = np.random.default_rng(7).integers(0, 6, size=(300, 6))
    expected = np.quantile(means[chosen].mean(axis=1), [0.05, 0.95])
    found = clustered_mean_interval(
        means[:, None], confidence=0.9, method="bootstrap", seed=7, num_resamples=300
    )
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-12)


def test_unless_said_otherwise() -> None:
    values = np.random.default_rng(1).random((10, 2))
    assert Interval(0.5, 0.0, 1.0, 3) == Interval(0.5, 0.0, 1.0, 3, 0.95, "t")
    assert clustered_mean_interval(values, method="bootstrap") == clustered_mean_interval(
        values, confidence=0.95, method="bootstrap", seed=0, num_resamples=2000
    )


def test_the_bootstrap_repeats_for_a_seed() -> None:
    values = np.random.default_rng(1).random((10, 2))
    first = clustered_mean_interval(values, method="bootstrap", seed=1, num_resamples=300)
    assert first == clustered_mean_interval(values, method="bootstrap", seed=1, num_resamples=300)
    assert first != clustered_mean_interval(values, method="bootstrap", seed=2, num_resamples=300)


@given(groups=GROUPS)
@PROFILE
def test_nan_changes_nothing_but_being_left_out(groups: list[list[float]]) -> None:
    cleaned = [[value for value in row if not math.isnan(value)] for row in groups]
    cleaned = [row for row in cleaned if row]
    for interval_of in (clustered_mean_interval, clustered_share_interval):
        assert repr(interval_of(groups)) == repr(interval_of(cleaned))
        assert interval_of(groups).n_clusters == len(cleaned)


def test_nan_is_not_zero() -> None:
    assert clustered_mean_interval([[1.0, NAN], [1.0, 1.0]]).mean == 1.0
    assert clustered_share_interval([[1.0, NAN], [NAN, NAN]]).mean == 1.0


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (20, 20), (3, 20), (1, 1), (250, 500)])
def test_share_interval_of_single_samples_is_wilsons(successes: int, trials: int) -> None:
    values = [[1.0]] * successes + [[0.0]] * (trials - successes)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    found = clustered_share_interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_share_interval_has_width_when_nothing_passed() -> None:
    # Wilson at 0 of n: high = z^2 / (n + z^2); sixteen failures of one problem are one observation.
    z_squared = stats.norm.ppf(0.975) ** 2
    found = clustered_share_interval([[0.0] * 16] * 50)
    assert found.low == 0.0
    assert found.high == pytest.approx(z_squared / (50 + z_squared), rel=1e-12)


def test_share_interval_is_wilsons_with_the_stated_number_of_trials() -> None:
    # Two of six problems pass in 1 of 4 and 3 of 4 samples, the others never: p = 1/6. Two ever
    # pass and six ever fail, so m = 2 and r' = r^(2/4).
    values = [[1, 0, 0, 0], [1, 1, 1, 0], *[[0, 0, 0, 0]] * 4]
    r = np.var([0.25, 0.75, 0, 0, 0, 0], ddof=1) / (1 / 6 * 5 / 6)
    n, z = 6 / math.sqrt(r), stats.norm.ppf(0.975)
    assert 6 < n < 24
    centre = (1 / 6 + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(5 / 36 / n + z * z / (4 * n * n))
    found = clustered_share_interval(values)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), rel=1e-12)


def test_share_interval_uses_every_sample_if_problems_are_alike() -> None:
    # Each problem passes half of its eight samples: no spread between problems, n = 8 P.
    expected = stats.binomtest(40, 80).proportion_ci(0.95, method="wilson")
    found = clustered_share_interval([[1.0, 0.0] * 4] * 10)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_share_interval_counts_a_lone_pass_as_little_evidence() -> None:
    # One pass in 30 x 32 samples: as if all were independent the end would be 0.0059.
    values = np.zeros((30, 32))
    values[0, 0] = 1
    independent = stats.binomtest(1, 960).proportion_ci(0.95, method="wilson")
    assert clustered_share_interval(values).high > 3 * independent.high


@pytest.mark.parametrize("successes", [0, 1, 7, 19.5])
def test_ends_of_wilson_take_any_number_of_trials(successes: float) -> None:
    if successes == int(successes):
        ci = stats.binomtest(int(successes), 20).proportion_ci(0.95, method="wilson")
        assert wilson_ends(successes / 20, 20, 0.95) == pytest.approx((ci.low, ci.high), abs=1e-12)
    # The ends are where the score statistic is z.
    low, high = wilson_ends(successes / 20, 23.7, 0.95)
    for end in (low, high):
        if 0 < end < 1:
            score = abs(successes / 20 - end) / math.sqrt(end * (1 - end) / 23.7)
            assert score == pytest.approx(stats.norm.ppf(0.975), rel=1e-9)


def test_ends_of_wilson_meet_0_and_1_exactly() -> None:
    """At some n the closed form misses them by a rounding error, to either side."""
    for n in range(1, 100):
        assert wilson_ends(0.0, n, 0.95)[0] == 0.0
        assert wilson_ends(1.0, n, 0.95)[1] == 1.0


@pytest.mark.filterwarnings("error")
def test_share_interval_of_one_problem_takes_its_samples_for_one_trial() -> None:
    """One problem does not tell how far its samples agree; two that are alike do."""
    found = clustered_share_interval([[1.0, 0.0] * 4])
    assert (found.low, found.high) == pytest.approx(wilson_ends(0.5, 1, 0.95))
    expected = stats.binomtest(8, 16).proportion_ci(0.95, method="wilson")
    found = clustered_share_interval([[1.0, 0.0] * 4] * 2)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_share_interval_of_fully_dependent_samples_is_that_of_the_problems() -> None:
    once = [[0.0], [1.0], [1.0], [0.0], [1.0]]
    assert clustered_share_interval([row * 8 for row in once]) == clustered_share_interval(once)


def test_effective_size_bound_can_be_given_for_values_that_sum_up_samples() -> None:
    values = [[0.5]] * 10
    narrow = clustered_share_interval(values, max_effective_n=80)
    assert narrow.low > clustered_share_interval(values).low
    assert narrow == clustered_share_interval([[1.0, 0.0] * 4] * 10)


@given(groups=PASSES)
@PROFILE
def test_share_interval_lies_in_the_unit_interval_around_the_mean(
    groups: list[list[float]],
) -> None:
    found = clustered_share_interval(groups)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.low < found.high


@given(groups=PASSES)
@PROFILE
def test_share_interval_mirrors_when_passes_and_failures_swap(groups: list[list[float]]) -> None:
    found = clustered_share_interval(groups)
    swapped = clustered_share_interval([[1 - value for value in row] for row in groups])
    assert (1 - swapped.high, 1 - swapped.low) == pytest.approx((found.low, found.high), abs=1e-9)


@given(groups=PASSES, shift=st.floats(-100, 100))
@PROFILE
def test_t_interval_moves_with_its_values(groups: list[list[float]], shift: float) -> None:
    found = clustered_mean_interval(groups)
    moved = clustered_mean_interval([[value + shift for value in row] for row in groups])
    assert moved.mean == pytest.approx(found.mean + shift, abs=1e-9)
    assert moved.low == pytest.approx(found.low + shift, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (4, 2), (1, 1), (1, 2)])
def test_an_array_is_read_as_its_rows(shape: tuple[int, int]) -> None:
    values_PK = np.random.default_rng(4).random(shape)
    for interval_of in (clustered_mean_interval, clustered_share_interval):
        assert repr(interval_of(values_PK)) == repr(interval_of(values_PK.tolist()))


def test_an_interval_names_its_method() -> None:
    for values in ([[0.0], [1.0]], [[0.1]] * 3, []):
        assert clustered_share_interval(values).method == "score"
        for method in ("t", "bootstrap"):
            assert clustered_mean_interval(values, method=method).method == method


@pytest.mark.filterwarnings("error")
def test_nothing_scored_gives_nan_and_zero_clusters() -> None:
    for groups in ([], [[]], [[NAN], [NAN, NAN]]):
        for found in (
            clustered_mean_interval(groups),
            clustered_mean_interval(groups, method="bootstrap"),
            clustered_share_interval(groups),
        ):
            assert math.isnan(found.mean)
            assert math.isnan(found.low)
            assert found.n_clusters == 0


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_a_single_problem_has_a_mean_and_no_interval(method) -> None:
    found = clustered_mean_interval([[0.0, 1.0]], method=method)
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_two_problems_have_a_bootstrap() -> None:
    found = clustered_mean_interval([[0.0], [1.0]], method="bootstrap")
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def test_equal_means_have_exactly_no_width() -> None:
    found = clustered_mean_interval([[0.1]] * 3)
    assert (found.mean, found.low, found.high) == (0.1, 0.1, 0.1)


def test_paired_difference_equals_scipys_paired_test() -> None:
    generator = np.random.default_rng(2)
    first, second = generator.random((12, 3)), generator.random((12, 5))
    expected = stats.ttest_rel(first.mean(axis=1), second.mean(axis=1)).confidence_interval(0.95)
    found = paired_difference_interval(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-10)


def test_paired_difference_leaves_a_problem_out_of_both_sides() -> None:
    found = paired_difference_interval([[1.0], [NAN], [1.0]], [[0.0], [1.0], [0.5]])
    assert found.n_clusters == 2
    assert found.mean == 0.75


def test_paired_difference_refuses_different_problems() -> None:
    with pytest.raises(EvaluationError, match="2 with 1 problems"):
        paired_difference_interval([[1.0], [0.0]], [[1.0]])


def test_seed_interval_equals_scipys_and_refuses_missing_runs() -> None:
    values = [0.61, 0.7, 0.55, 0.9]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = seed_mean_interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    with pytest.raises(EvaluationError, match=r"positions \[1\]"):
        seed_mean_interval([0.5, NAN])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_must_be_a_share(confidence: float) -> None:
    for interval_of in (clustered_mean_interval, clustered_share_interval):
        with pytest.raises(EvaluationError, match="confidence"):
            interval_of([[1.0]], confidence=confidence)
    with pytest.raises(EvaluationError, match="confidence"):
        paired_difference_interval([[1.0]], [[0.0]], confidence=confidence)
    with pytest.raises(EvaluationError, match="confidence"):
        seed_mean_interval([1.0, 0.0], confidence=confidence)


def test_share_interval_refuses_values_outside_the_unit_interval() -> None:
    for values in ([[1.5], [0.0]], [[-0.5], [0.5]]):
        with pytest.raises(EvaluationError, match=r"required: values in \[0, 1\]"):
            clustered_share_interval(values)


def test_an_interval_survives_json() -> None:
    found = clustered_mean_interval([[0.0, 1.0]])
    assert repr(from_json(Interval, to_json(found))) == repr(found)
