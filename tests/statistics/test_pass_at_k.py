"""pass@k and pass^k against closed forms, enumeration and the meaning of unbiased."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics import pass_at_k, pass_hat_k


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (10, 3, 5, 1 - 21 / 252),  # C(7, 5) = 21, C(10, 5) = 252
        (4, 1, 1, 1 / 4),  # k = 1 is the plain share
        (8, 0, 8, 0.0),
        (8, 8, 1, 1.0),
        (4, 2, 3, 1.0),  # only two failures: any three samples hold a pass
        (1, 1, 1, 1.0),
    ],
)
def test_closed_forms(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("n", "c", "k"), [(6, 2, 3), (7, 1, 4), (5, 3, 2)])
def test_equals_the_share_of_subsets_with_a_pass(n: int, c: int, k: int) -> None:
    outcomes = [True] * c + [False] * (n - c)
    subsets = list(combinations(outcomes, k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), rel=1e-15)


@given(n=st.integers(1, 60), data=st.data())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_equals_the_hypergeometric_tail(n: int, data: st.DataObject) -> None:
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    # Drawing k of n samples without replacement: at least one of the c passes.
    expected = 1 - stats.hypergeom(n, c, k).pmf(0)
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_is_unbiased(p: float) -> None:
    n, k = 7, 3
    expectation = sum(stats.binom(n, p).pmf(c) * pass_at_k(n, c, k) for c in range(n + 1))
    assert expectation == pytest.approx(1 - (1 - p) ** k, rel=1e-12)


def test_is_monotone_in_passes_and_attempts() -> None:
    grid = [[pass_at_k(9, c, k) for k in range(1, 10)] for c in range(10)]
    assert all(row == sorted(row) for row in grid)
    assert all(list(column) == sorted(column) for column in zip(*grid, strict=True))


def test_large_counts_neither_overflow_nor_round_to_one() -> None:
    # With one pass in n, the estimate is k / n.
    assert pass_at_k(100_000, 1, 7) == pytest.approx(7e-5, rel=1e-14)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0), (0, 0, 1)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(EvaluationError, match="required"):
        pass_at_k(n, c, k)
    with pytest.raises(EvaluationError, match="required"):
        pass_hat_k(n, c, k)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [(10, 6, 2, 15 / 45), (4, 1, 1, 0.25), (8, 8, 8, 1.0), (8, 7, 8, 0.0), (5, 1, 2, 0.0)],
)
def test_closed_forms_of_all_passing(n: int, c: int, k: int, expected: float) -> None:
    assert pass_hat_k(n, c, k) == pytest.approx(expected, rel=1e-15)


@given(n=st.integers(1, 60), data=st.data())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_all_passing_is_the_other_hypergeometric_tail(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert pass_hat_k(n, c, k) == pytest.approx(stats.hypergeom(n, c, k).pmf(k), abs=1e-10)
    # All pass where none fails.
    assert pass_hat_k(n, c, k) == pytest.approx(1 - pass_at_k(n, n - c, k), abs=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_all_passing_is_unbiased(p: float) -> None:
    n, k = 7, 3
    expectation = sum(stats.binom(n, p).pmf(c) * pass_hat_k(n, c, k) for c in range(n + 1))
    assert expectation == pytest.approx(p**k, rel=1e-12)
