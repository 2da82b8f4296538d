"""The unbiased estimators of pass@k (some sample passes) and pass^k (all samples pass)."""

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
    _check("pass@", num_samples, num_passed, k)
    subsets = comb(num_samples, k)
    return (subsets - comb(num_samples - num_passed, k)) / subsets


def pass_hat_k(num_samples: int, num_passed: int, k: int) -> float:
    """Estimate pass^k, the probability that all of ``k`` samples of a problem pass.

    ``C(c, k) / C(n, k)``: the share of the subsets of size k of the n samples that hold passes
    only. Unbiased for any n >= k, unlike ``(c/n)^k``.

    Source: Yao et al., "tau-bench", arXiv:2406.12045, section 4.

    Args:
        num_samples: n, scored samples of the problem (unscorable ones are not counted).
        num_passed: c, those of them that passed.
        k: Number of attempts, all of which have to pass.

    Returns:
        The estimate, in [0, 1].

    Raises:
        EvaluationError: Not ``0 <= c <= n`` or not ``1 <= k <= n``.

    Example:
        >>> pass_hat_k(10, 6, 2)  # 15 / 45
        0.3333333333333333
    """
    _check("pass^", num_samples, num_passed, k)
    return comb(num_passed, k) / comb(num_samples, k)


def _check(measure: str, num_samples: int, num_passed: int, k: int) -> None:
    if not 0 <= num_passed <= num_samples:
        raise EvaluationError(
            f"{measure}{k}: {num_passed} of {num_samples} samples passed, required: 0 <= passed <= "
            "samples; count scored samples only"
        )
    if not 1 <= k <= num_samples:
        raise EvaluationError(
            f"{measure}{k} from {num_samples} scored samples, required: 1 <= k <= samples; draw "
            "more samples per problem or ask for a smaller k"
        )
