"""Two policies on the same problems: is the difference more than chance?

What is found here is about two checkpoints. Another seed of the same method is another checkpoint,
so it says nothing about methods; see ``hierarchical`` for those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy import stats

from rephrase_rl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PairedMethod: TypeAlias = Literal["mcnemar", "sign_flip"]

_RESAMPLES_AT_ONCE = 256
"""Sign patterns drawn at once: bounds memory at 256 x problems numbers."""


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Whether two policies differ on the same problems; two-sided."""

    method: PairedMethod
    p_value: float | None
    """None: no problem was scored under both."""
    better: int
    """Problems on which the first policy scores higher."""
    worse: int
    """Problems on which it scores lower; the rest are ties and say nothing."""
    num_problems: int
    """Problems that were scored under both."""


def paired_test(
    means_P: Sequence[float],
    other_means_P: Sequence[float],
    *,
    seed: int = 0,
    num_resamples: int = 9999,
) -> PairedTest:
    """Test whether two policies differ: McNemar's exact test, or sign flips where k > 1.

    With one sample per problem each problem passes or fails, and the exact McNemar test asks
    whether of the problems on which the policies differ either has more than a coin would give it.
    With several samples a problem has a share; the same question is then asked by exchanging the
    two policies on each problem at random (a paired permutation test of the mean difference).
    On shares of 0 and 1 both are the same test.

    Args:
        means_P: Mean reward of each problem under the first policy; NaN where not scored.
        other_means_P: The same problems in the same order under the other.
        seed: Of the sign flips.
        num_resamples: Of the sign flips; the p-value is a multiple of 1 / (num_resamples + 1).

    Raises:
        EvaluationError: The numbers of problems differ.
    """
    if len(means_P) != len(other_means_P):
        raise EvaluationError(
            f"paired test of {len(means_P)} with {len(other_means_P)} problems, required: the same "
            "problems in the same order; evaluate both with the same file"
        )
    first, other = np.asarray(means_P, dtype=float), np.asarray(other_means_P, dtype=float)
    scored = ~(np.isnan(first) | np.isnan(other))
    first, other = first[scored], other[scored]
    differences_P = first - other
    better, worse = int((differences_P > 0).sum()), int((differences_P < 0).sum())
    is_binary = bool(np.isin(np.concatenate([first, other]), (0.0, 1.0)).all())
    method: PairedMethod = "mcnemar" if is_binary else "sign_flip"
    if not len(differences_P):
        return PairedTest(method, None, 0, 0, 0)
    p_value = (
        mcnemar_exact(better, worse)
        if is_binary
        else sign_flip_p_value(differences_P, seed=seed, num_resamples=num_resamples)
    )
    return PairedTest(method, p_value, better, worse, len(differences_P))


def mcnemar_exact(better: int, worse: int) -> float:
    """Two-sided p-value of McNemar's exact test.

    ``min(1, 2 * P(X <= min(b, c)))`` with X binomial(b + c, 1/2), b and c the problems that only
    one of the two policies passes. 1 if there are none.

    Source: McNemar 1947; the exact form is the sign test.

    Example:
        >>> mcnemar_exact(1, 6)  # 2 * (1 + 7) / 2**7
        0.125
    """
    if better + worse == 0:
        return 1.0
    return float(stats.binomtest(better, better + worse, 0.5).pvalue)


def sign_flip_p_value(
    differences_P: Sequence[float] | NDArray[np.float64],
    *,
    seed: int = 0,
    num_resamples: int = 9999,
) -> float:
    """Two-sided p-value of the mean difference when each sign could as well be the other.

    All 2^n patterns of the n differences that are not 0 are tried where those are no more than
    ``num_resamples``; else so many are drawn, and the observed pattern counts as one of them, so
    that the test keeps its level (Phipson and Smyth 2010).

    Args:
        differences_P: First minus second policy, per problem; no NaN.
        seed: Of the draw.
        num_resamples: Patterns drawn.

    Example:
        >>> sign_flip_p_value([0.5, 0.25, 0.25])  # 2 of the 8 patterns are as far from 0
        0.25
    """
    array = np.asarray(differences_P, dtype=float)
    moved = array[array != 0]
    # Equal sums in another order differ in the last digits; they are to count as equal.
    observed = abs(moved.sum()) - 1e-12 * np.abs(moved).sum()
    if 2 ** len(moved) <= num_resamples:
        patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float((np.abs((2.0 * patterns - 1) @ moved) >= observed).mean())
    generator = np.random.default_rng(seed)
    beyond = 0
    for start in range(0, num_resamples, _RESAMPLES_AT_ONCE):
        rows = min(_RESAMPLES_AT_ONCE, num_resamples - start)
        signs = 2.0 * generator.integers(0, 2, size=(rows, len(moved))) - 1
        beyond += int((np.abs(signs @ moved) >= observed).sum())
    return (beyond + 1) / (num_resamples + 1)
