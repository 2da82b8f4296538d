"""The expected success of a majority vote among k samples of a problem."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb

from rephrase_rl.errors import EvaluationError


def maj_at_k(num_samples: int, num_right: int, wrong_votes: Sequence[int], k: int) -> float:
    """Probability that the most frequent answer of ``k`` of the n samples is right.

    Over all subsets of size k, so it is unbiased for any n >= k; where several answers are the most
    frequent, one of them is drawn. Samples without an answer do not vote: if no sample of a subset
    votes, the vote is lost. All right samples vote for one answer, since each equals the reference.

    Exact: for every number t of right votes, the ways in which no wrong answer has more than t
    votes and j of them have exactly t are counted, and won with probability 1 / (1 + j).

    Source: Wang et al., "Self-Consistency Improves Chain of Thought Reasoning", arXiv:2203.11171,
    for the vote.

    Args:
        num_samples: n, scored samples of the problem.
        num_right: Samples whose answer is right.
        wrong_votes: Number of samples behind each wrong answer; what is left of n did not vote.
        k: Number of voters.

    Returns:
        The probability, in [0, 1].

    Raises:
        EvaluationError: Counts are negative or exceed n, or not ``1 <= k <= n``.

    Example:
        >>> maj_at_k(3, 1, [1, 1], 3)  # three answers, one vote each
        0.3333333333333333
    """
    silent = num_samples - num_right - sum(wrong_votes)
    if num_right < 0 or silent < 0 or any(votes < 0 for votes in wrong_votes):
        raise EvaluationError(
            f"maj@{k}: {num_right} right and {list(wrong_votes)} wrong votes of {num_samples} "
            "samples, required: counts that are not negative, and together at most the samples"
        )
    if not 1 <= k <= num_samples:
        raise EvaluationError(
            f"maj@{k} from {num_samples} scored samples, required: 1 <= k <= samples; draw more "
            "samples per problem or ask for a smaller k"
        )
    if k == num_samples:
        return _whole_vote(num_right, wrong_votes)
    won = Fraction(0)
    for right in range(1, min(k, num_right) + 1):
        ways = comb(num_right, right)
        for (others, tied), count in _subsets_up_to(wrong_votes, right, k - right).items():
            rest = k - right - others
            won += Fraction(ways * count * comb(silent, rest), tied + 1)
    return float(won / comb(num_samples, k))


def _whole_vote(num_right: int, wrong_votes: Sequence[int]) -> float:
    """The vote of all samples, the usual case: no subsets to be counted."""
    if num_right == 0 or num_right < max(wrong_votes, default=0):
        return 0.0
    return 1 / (1 + sum(votes == num_right for votes in wrong_votes))


def _subsets_up_to(votes: Sequence[int], most: int, total: int) -> dict[tuple[int, int], int]:
    """Ways to draw from wrong answers, at most ``most`` of each and ``total`` of all.

    Returns:
        (number drawn, answers of which exactly ``most`` were drawn) to the number of ways.
    """
    found = {(0, 0): 1}
    for size in votes:
        grown: dict[tuple[int, int], int] = {}
        for (drawn, tied), count in found.items():
            for taken in range(min(most, size, total - drawn) + 1):
                key = (drawn + taken, tied + (taken == most))
                grown[key] = grown.get(key, 0) + count * comb(size, taken)
        found = grown
    return found
