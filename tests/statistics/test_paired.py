"""Tests of two checkpoints against scipy, closed forms and a simulation of the null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics import paired_test
from rephrase_rl.statistics.paired import mcnemar_exact, sign_flip_p_value

NAN = math.nan


def test_mcnemar_closed_forms() -> None:
    # b = 0, c = n: only the two ends of the binomial are as far, 2 / 2**n.
    assert mcnemar_exact(0, 5) == mcnemar_exact(5, 0) == pytest.approx(2 / 2**5)
    # b = 1, c = 6: 2 * (C(7,0) + C(7,1)) / 2**7 = 16/128.
    assert mcnemar_exact(1, 6) == mcnemar_exact(6, 1) == pytest.approx(16 / 128)
    assert mcnemar_exact(4, 4) == 1.0
    assert mcnemar_exact(0, 0) == 1.0


@pytest.mark.parametrize(("better", "worse"), [(3, 12), (20, 20), (0, 1), (41, 60)])
def test_mcnemar_equals_statsmodels(better, worse) -> None:
    expected = mcnemar([[5, better], [worse, 7]], exact=True).pvalue
    assert mcnemar_exact(better, worse) == pytest.approx(min(1.0, expected), rel=1e-9)


def test_single_samples_get_mcnemar() -> None:
    found = paired_test([1, 1, 0, 1, NAN, 1], [0, 1, 1, 0, 1, 0])
    assert (found.method, found.better, found.worse, found.num_problems) == ("mcnemar", 3, 1, 5)
    assert found.p_value == mcnemar_exact(3, 1)
    # Exact for any number of problems, where sign flips would be drawn.
    many = paired_test([1.0] * 28 + [0.0] * 12, [0.0] * 28 + [1.0] * 12)
    assert many.p_value == mcnemar_exact(28, 12)


def test_seed_and_number_of_draws_are_those_given() -> None:
    first, other = np.random.default_rng(3).random((2, 20))
    drawn = sign_flip_p_value(first - other, seed=5, num_resamples=300)
    assert paired_test(first, other, seed=5, num_resamples=300).p_value == drawn
    assert paired_test(first, other).p_value == sign_flip_p_value(first - other)
    as_stated = sign_flip_p_value(first - other, seed=0, num_resamples=9999)
    assert sign_flip_p_value(first - other) == as_stated


def test_patterns_are_counted_up_to_the_number_of_draws_and_then_drawn() -> None:
    assert sign_flip_p_value([0.5, 0.25, 0.25], num_resamples=8) == 2 / 8
    # Every pattern is as far as one whose sum is 0: of 300 draws and the observed one all count.
    assert sign_flip_p_value([1.0, -1.0] * 20, num_resamples=300) == 1.0


def test_sign_flips_equal_scipys_paired_permutation_test() -> None:
    generator = np.random.default_rng(5)
    first, other = generator.integers(0, 5, (2, 12)) / 4
    expected = stats.permutation_test(
        (first, other),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    found = paired_test(first, other)
    assert found.method == "sign_flip"
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert found.p_value < 0.5
    assert found.p_value != pytest.approx(mcnemar_exact(found.better, found.worse), rel=0.01)


def test_sign_flips_of_ones_are_mcnemars_test() -> None:
    differences = [1.0] * 9 + [-1.0] * 3 + [0.0] * 20
    assert sign_flip_p_value(differences) == pytest.approx(mcnemar_exact(9, 3), rel=1e-12)
    # Drawn instead of counted: within four standard errors, sqrt(p q / 9999) = 0.0035.
    drawn = sign_flip_p_value(differences, num_resamples=4000)
    assert drawn == pytest.approx(mcnemar_exact(9, 3), abs=0.025)


def test_sums_in_another_order_count_as_equal() -> None:
    # Of 32 patterns those with at most one tenth turned, and their mirror images, are as far.
    assert sign_flip_p_value([0.3, 0.3, -0.1, 0.7, 0.1]) == 6 / 32
    for scale in (1e-6, 1e6):
        assert sign_flip_p_value(np.asarray([0.3, 0.3, -0.1, 0.7, 0.1]) * scale) == 6 / 32
    # Added up in whole tenths no digit is lost.
    assert sign_flip_p_value([3, 3, -1, 7, 1]) == 6 / 32


def test_the_draw_repeats_for_a_seed_and_is_never_zero() -> None:
    differences = np.random.default_rng(2).normal(1.0, 0.1, 40)
    p_value = sign_flip_p_value(differences, seed=3, num_resamples=500)
    assert p_value == sign_flip_p_value(differences, seed=3, num_resamples=500) == 1 / 501


def test_nothing_in_common_is_no_test() -> None:
    found = paired_test([NAN, 1.0], [0.0, NAN])
    assert (found.p_value, found.better, found.worse, found.num_problems) == (None, 0, 0, 0)
    assert paired_test([1.0, 0.25], [1.0, 0.25]).p_value == 1.0
    with pytest.raises(EvaluationError, match="the same problems"):
        paired_test([1.0], [1.0, 0.0])


def test_under_the_null_p_values_keep_their_level() -> None:
    """Two policies of equal shares, 25 problems of 4 samples: P(p <= a) is at most a."""
    generator = np.random.default_rng(4)
    p_values = []
    for _ in range(300):
        shares = generator.beta(0.6, 0.6, 25)
        first, other = generator.binomial(4, shares, (2, 25)) / 4
        p_values.append(paired_test(first, other, num_resamples=199).p_value)
    # 300 draws: 0.05 has a standard error of 0.0126, 0.5 one of 0.029.
    assert np.mean(np.asarray(p_values) <= 0.05) < 0.05 + 3 * 0.0126
    # Sums of quarters are often equal, and equal ones count as beyond: careful, not useless.
    assert 0.25 < np.mean(np.asarray(p_values) <= 0.5) < 0.5 + 3 * 0.029
