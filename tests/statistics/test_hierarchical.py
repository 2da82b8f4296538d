"""Two methods over seeds and problems: closed forms, special cases, and levels under the null."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics import MIN_BOOTSTRAP_SEEDS, MethodDifference, compare_methods
from rephrase_rl.statistics.hierarchical import _share_beyond, bootstrap_p_value

NAN = math.nan


def test_one_problem_is_welchs_test() -> None:
    """Without problems to vary over, the seeds alone are left: Welch's t test of their means."""
    first, other = [[0.9], [0.7], [0.8]], [[0.2], [0.5], [0.1], [0.4]]
    expected = stats.ttest_ind(np.ravel(first), np.ravel(other), equal_var=False)
    found = compare_methods(first, other)
    assert found.difference == pytest.approx(0.8 - 0.3)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(expected.df, rel=1e-9)


def test_equal_seeds_leave_the_paired_test_over_problems() -> None:
    """Runs that are all the same: what is left to vary is the problems."""
    first, other = np.random.default_rng(0).random((2, 12))
    expected = stats.ttest_rel(first, other)
    found = compare_methods([first] * 3, [other] * 3)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(11, rel=1e-9)


def test_the_variance_is_that_of_the_components() -> None:
    """Tables without residual, a_s + b_i: variances by hand.

    Seed means 0 and 2 (variance 2, over 2 seeds: 1) and 0, 0 (0). Differences of problems are all
    1, so they add nothing; no residual. t = 1 / sqrt(1) on 1 degree of freedom: p = 1/2 (Cauchy,
    1 - 2/pi * atan(1)).
    """
    problems = np.asarray([0.0, 1.0, 5.0])
    found = compare_methods([problems, problems + 2], [problems, problems])
    assert found.difference == pytest.approx(1.0)
    assert found.degrees_of_freedom == pytest.approx(1.0)
    assert found.p_value == pytest.approx(0.5)


def test_noise_of_single_cells_is_taken_off_once() -> None:
    """Variances by hand: seeds 1/18 / 2 = 1/36, problems 1/4 / 3 = 1/12, residual 1/6 / 6 = 1/36.

    Together 1/36 + 1/12 - 1/36 = 1/12, with (1/144) / (1/1296 + 1/288 + 1/2592) = 3/2 degrees.
    """
    found = compare_methods([[0, 1, 1], [0, 0, 1]], np.zeros((2, 3)))
    assert found.degrees_of_freedom == pytest.approx(1.5)
    half = stats.t.ppf(0.975, 1.5) * (1 / 12) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def by_least_squares(table):
    """(residual variance of a mean of cells, its degrees of freedom): runs and problems fitted."""
    runs, problems = table.shape
    row, column = np.divmod(np.arange(table.size), problems)
    design = np.concatenate([np.eye(runs)[row], np.eye(problems)[column]], axis=1)
    fitted = design @ np.linalg.lstsq(design, table.ravel(), rcond=None)[0]
    freedom = table.size - np.linalg.matrix_rank(design)
    return ((table.ravel() - fitted) ** 2).sum() / freedom / table.size, freedom


def test_the_residual_is_that_of_least_squares() -> None:
    generator = np.random.default_rng(6)
    first = generator.random((3, 5)) + generator.random((3, 1)) + 3 * generator.random(5)
    other = generator.random((4, 5))
    columns = first.mean(axis=0) - other.mean(axis=0)
    parts = [
        (table.mean(axis=1).var(ddof=1) / len(table), len(table) - 1) for table in (first, other)
    ]
    parts.append((columns.var(ddof=1) / 5, 4))
    parts += [(-size, freedom) for size, freedom in map(by_least_squares, (first, other))]
    variance = sum(size for size, _ in parts)
    assert variance > max(parts[0][0] + parts[1][0], parts[2][0])
    freedom = variance**2 / sum(size**2 / freedom for size, freedom in parts)
    found = compare_methods(first, other)
    assert found.degrees_of_freedom == pytest.approx(freedom, rel=1e-9)
    half = stats.t.ppf(0.975, freedom) * variance**0.5
    ends = (found.difference - half, found.difference + half)
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-9)


@pytest.mark.parametrize("table", [[[2, 1], [-2, 1]], [[2, -2], [1, 1]]])
def test_the_variance_is_never_below_either_part(table) -> None:
    """By hand: the parts of runs and problems are 1 and 1/4 or the reverse, the residual's is 1.

    The sum, 1/4, is less than the larger part, which is taken instead; 1 / (1 + 1/16 + 1) degrees.
    """
    found = compare_methods(table, np.zeros((2, 2)))
    assert found.degrees_of_freedom == pytest.approx(1 / (2 + 1 / 16))
    half = stats.t.ppf(0.975, found.degrees_of_freedom)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_the_other_way_round_everything_is_mirrored() -> None:
    first, other = np.random.default_rng(3).random((2, 3, 6))
    found, turned = compare_methods(first, other), compare_methods(other, first)
    assert turned.difference == pytest.approx(-found.difference)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert turned.p_value == pytest.approx(found.p_value)
    assert 0 < found.p_value < 1


def test_unless_said_otherwise() -> None:
    first, other = np.random.default_rng(3).random((2, 5, 6))
    assert MIN_BOOTSTRAP_SEEDS == 5
    stated = compare_methods(first, other, confidence=0.95, seed=0, num_resamples=5000)
    assert compare_methods(first, other) == stated
    defaults = {field.name: field.default for field in fields(MethodDifference)}
    assert defaults["confidence"] == 0.95


def test_problems_without_a_score_in_any_run_are_left_out_of_all() -> None:
    first = [[1.0, 0.5, NAN], [1.0, 0.25, 0.0]]
    other = [[0.0, 0.5, 1.0], [0.5, 0.5, 1.0]]
    found = compare_methods(first, other)
    assert found.num_problems == 2
    assert found.difference == pytest.approx(2.75 / 4 - 1.5 / 4)
    turned = compare_methods(other, first)
    assert (turned.num_problems, turned.difference) == (2, pytest.approx(1.5 / 4 - 2.75 / 4))
    nothing = compare_methods([[NAN]] * 2, [[1.0]] * 2, confidence=0.9)
    assert (nothing.num_problems, nothing.p_value, nothing.confidence) == (0, None, 0.9)
    assert math.isnan(nothing.difference)


def test_one_seed_says_nothing_of_methods() -> None:
    found = compare_methods([[1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]])
    assert found.difference == 0.25
    assert (found.p_value, found.num_seeds) == (None, (1, 2))
    assert math.isnan(found.low)


def test_where_nothing_varies_labels_are_exchanged() -> None:
    ones, zeros = np.ones((3, 5)), np.zeros((3, 5))
    found = compare_methods(ones, zeros)
    assert (found.difference, found.low, found.high) == (1.0, 1.0, 1.0)
    assert found.p_value == pytest.approx(2 / 20)  # C(6, 3) = 20 divisions, two are as far
    assert compare_methods(ones, ones).p_value == 1.0
    # Values whose rounded mean differs from them do not vary either.
    found = compare_methods(ones * 0.1, ones * 0.7)
    assert (found.low, found.p_value) == (found.high, pytest.approx(2 / 20))


def test_the_bootstrap_needs_seeds_and_repeats() -> None:
    table = np.random.default_rng(1).random((MIN_BOOTSTRAP_SEEDS, 30))
    few = compare_methods(table[:-1], table + 0.5)
    assert few.bootstrap_p_value is None
    assert math.isnan(few.bootstrap_low)
    assert few.p_value is not None
    found = compare_methods(table, table + 0.5, seed=1, num_resamples=999)
    assert found == compare_methods(table, table + 0.5, seed=1, num_resamples=999)
    assert found.bootstrap_p_value == pytest.approx(2 / 1000)
    assert found.bootstrap_low < -0.5 < found.bootstrap_high
    assert compare_methods(table, table + 0.5, num_resamples=0).bootstrap_p_value is None
    assert compare_methods(table, table + 0.5, num_resamples=1).bootstrap_p_value == 1.0


def test_the_bootstraps_p_value_is_twice_the_smaller_side() -> None:
    """A draw of exactly 0 is on both sides; the observed difference counts as one more."""
    drawn = np.asarray([-2.0, -0.5, 0, 0.5, 1, 2, 3, 4, 5])
    assert _share_beyond(drawn) == _share_beyond(-drawn) == pytest.approx(2 * (3 + 1) / 10)
    assert _share_beyond(np.asarray([0.5, 1, 2])) == pytest.approx(2 * 1 / 4)
    assert _share_beyond(np.zeros(9)) == 1.0


def test_the_bootstraps_own_p_value_is_that_of_a_comparison() -> None:
    first, other = np.random.default_rng(8).random((2, 5, 6))
    alone = bootstrap_p_value(first, other, np.random.default_rng(4), 400)
    assert alone == compare_methods(first, other, seed=4, num_resamples=400).bootstrap_p_value
    assert 0 < alone < 1


def test_the_bootstrap_with_equal_runs_is_scipys_over_problems() -> None:
    first, other = np.random.default_rng(9).random((2, 12))
    expected = stats.bootstrap(
        (first - other,),
        np.mean,
        confidence_level=0.5,
        method="percentile",
        n_resamples=6000,
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = compare_methods([first] * 5, [other] * 5, confidence=0.5, num_resamples=6000)
    # The standard error of a quartile of 6,000 draws is about 2 % of that of the mean.
    error = (first - other).std() / math.sqrt(12)
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx(
        (expected.low, expected.high), abs=0.1 * error
    )


def test_the_bootstrap_with_one_varying_problem_is_scipys() -> None:
    first, other = np.random.default_rng(2).random((2, 8, 1))
    expected = stats.bootstrap(
        (first[:, 0], other[:, 0]),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        method="percentile",
        n_resamples=6000,
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = compare_methods(first, other, num_resamples=6000)
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx(
        (expected.low, expected.high), abs=0.02
    )


def test_tables_that_do_not_fit_are_refused() -> None:
    for first, other in (
        ([], [[1.0]]),
        ([[1.0]], []),
        ([[1.0, 2.0]], [[1.0]]),
        ([[1.0], [1.0, 2.0]], [[1.0]]),
    ):
        with pytest.raises(EvaluationError, match="the same problems"):
            compare_methods(first, other)


# ------------------------------------------------------------------ levels under the null


@pytest.fixture(scope="module")
def levels():
    """The simulation whose table stands in ``docs/compare.md``."""
    path = Path(__file__).parents[2] / "scripts" / "method_test_levels.py"
    spec = importlib.util.spec_from_file_location("method_test_levels", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.levels


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_t_test_keeps_its_level(levels, seeds) -> None:
    found, _ = levels(seeds, 600, with_bootstrap=False)
    # 600 draws: 0.05 has a standard error of 0.009.
    assert 0.01 < found < 0.05 + 3 * 0.009


@pytest.mark.slow
def test_the_bootstrap_is_too_bold_with_few_seeds(levels) -> None:
    """Why it has a smallest number of seeds, and why the t test's p-value is the one to quote."""
    assert levels(2, 500)[1] > 0.2
    assert levels(5, 500)[1] > 0.07
    t_level, bootstrap_level = levels(10, 500)
    assert t_level < 0.08
    assert bootstrap_level < 0.10
