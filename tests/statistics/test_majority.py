"""maj@k against full enumeration of subsets and closed forms."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics import maj_at_k, pass_at_k


def by_enumeration(num_samples: int, num_right: int, wrong: list[int], k: int) -> float:
    """Every subset of the samples votes; ties are drawn, silent samples (None) have no vote."""
    answers: list[str | None] = ["right"] * num_right
    for index, votes in enumerate(wrong):
        answers += [f"wrong {index}"] * votes
    answers += [None] * (num_samples - len(answers))
    won, subsets = 0.0, 0
    for subset in combinations(answers, k):
        subsets += 1
        votes = Counter(answer for answer in subset if answer is not None)
        best = [answer for answer, count in votes.items() if count == max(votes.values())]
        won += best.count("right") / len(best) if best else 0.0
    return won / subsets


@given(
    right=st.integers(0, 4),
    wrong=st.lists(st.integers(0, 3), max_size=3),
    silent=st.integers(0, 2),
    data=st.data(),
)
@settings(derandomize=True, deadline=None, max_examples=80)
def test_equals_the_share_of_subsets_that_vote_right(right, wrong, silent, data) -> None:
    n = right + sum(wrong) + silent
    if n == 0:
        return
    k = data.draw(st.integers(1, n))
    expected = by_enumeration(n, right, wrong, k)
    assert maj_at_k(n, right, wrong, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "right", "wrong", "k", "expected"),
    [
        (5, 3, [2], 5, 1.0),
        (5, 2, [3], 5, 0.0),
        (4, 2, [2], 4, 0.5),  # a tie of two
        (6, 2, [2, 2], 6, 1 / 3),  # a tie of three
        (3, 1, [], 3, 1.0),  # the only vote
        (3, 0, [], 3, 0.0),  # nobody votes
        (10, 4, [6], 1, 0.4),  # one voter: the plain share
        (5, 3, [2], 3, 7 / 10),  # C(3,3) + C(3,2) C(2,1) = 7 of 10 subsets
    ],
)
def test_closed_forms(n, right, wrong, k, expected) -> None:
    assert maj_at_k(n, right, wrong, k) == pytest.approx(expected, rel=1e-15)


def test_with_one_voter_it_is_pass_at_1() -> None:
    assert maj_at_k(12, 5, [3, 2, 1], 1) == pytest.approx(pass_at_k(12, 5, 1), rel=1e-15)


def test_condorcet_more_voters_decide_better_if_most_are_right() -> None:
    found = [maj_at_k(60, 36, [24], k) for k in (1, 5, 15, 45)]
    assert found == sorted(found)
    assert found[-1] > 0.99


@pytest.mark.parametrize(
    ("n", "right", "wrong", "k"),
    [(4, 5, [], 1), (4, -1, [], 1), (4, 2, [3], 1), (4, 2, [-1], 1), (4, 2, [2], 5), (4, 2, [], 0)],
)
def test_impossible_counts_are_refused(n, right, wrong, k) -> None:
    with pytest.raises(EvaluationError, match="required"):
        maj_at_k(n, right, wrong, k)
