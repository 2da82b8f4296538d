"""The unbiased estimator of pass@k."""

from __future__ import annotations

from math import comb

from rephrase_rl.errors import EvaluationError


def pass_at_k(num_samples: int, num_passed: int, k: int) -> float:
    """Estimate the probability that at least one of ``k`` samples of a problem passes.

    ``1 - C(n - c, k) / C(n, k)``: the share of the subsets of size k of the n samples that contain
    one of the c passes. Unbiased for any n >= k, unlike ``1 - (1 - c/n)^k``. Binomials are exact
    integers, so the result is the correctly rounded float for any n.

    Source: Chen et al., "Evaluating Large Language Models Trained on Code", arXiv:2107.03374,
    section 2.1.

    Args:
        num_samples: n, scored samples of the problem (unscorable ones are not counted).
        num_passed: c, those of them that passed.
        k: Number of attempts allowed.

    Returns:
        The estimate, in [0, 1].

    Raises:
        EvaluationError: Not ``0 <= c <= n`` or not ``1 <= k <= n``.

    Example:
        >>> round(pass_at_k(10, 3, 5), 6)  # 1 - 21/252
        0.916667
    """
    if not 0 <= num_passed <= num_samples:
        raise EvaluationError(
            f"pass@{k}: {num_passed} of {num_samples} samples passed, required: 0 <= passed <= "
            "samples; count scored samples only"
        )
    if not 1 <= k <= num_samples:
        raise EvaluationError(
            f"pass@{k} from {num_samples} scored samples, required: 1 <= k <= samples; draw more "
            "samples per problem or ask for a smaller k"
        )
    subsets = comb(num_samples, k)
    return (subsets - comb(num_samples - num_passed, k)) / subsets
