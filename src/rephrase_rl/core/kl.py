"""Estimators of KL(pi_theta || pi_ref) from the sampled tokens, one number per token.

All three have the expectation of the KL divergence (k2 only to second order) if the tokens were
sampled from pi_theta. Injected tokens were not: for them these are distances, not estimates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.shapes import check_token_values

if TYPE_CHECKING:
    from torch import Tensor


def k1(logps_BT: Tensor, ref_logps_BT: Tensor, loss_mask_BT: Tensor) -> Tensor:
    """Estimate by the log-ratio: unbiased, of either sign.

    k1[b, t] = logps[b, t] - ref_logps[b, t]

    Source: J. Schulman, "Approximating KL divergence" (joschu.net/blog/kl-approx.html, 2020).
    Conventions: as a loss its gradient has expectation 0; it belongs into rewards and metrics.

    Args:
        logps_BT: Log-probability of each token under the policy, nats, floating, shape (B, T).
        ref_logps_BT: The same under the reference policy, shape (B, T). No gradient is stopped.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).

    Returns:
        Nats per token, shape (B, T). 0 without gradient at masked positions, whatever they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> k1(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, 0.0]]), torch.tensor([[1, 0]]))
        tensor([[0.5000, 0.0000]])
    """
    mask_BT = check_token_values(loss_mask_BT, logps_BT=logps_BT, ref_logps_BT=ref_logps_BT)
    # Filled here, before k2 and k3 go on with it: filled after a square or an exponential, a NaN
    # under the mask would still reach the gradient, as 0 * NaN.
    return (logps_BT - ref_logps_BT).masked_fill(~mask_BT, 0.0)


def k2(logps_BT: Tensor, ref_logps_BT: Tensor, loss_mask_BT: Tensor) -> Tensor:
    """Estimate by half the squared log-ratio: biased, never negative, of low variance.

    k2[b, t] = (logps[b, t] - ref_logps[b, t])**2 / 2

    Source: J. Schulman, "Approximating KL divergence" (joschu.net/blog/kl-approx.html, 2020).
    Conventions: its gradient has the expectation of the gradient of the KL divergence.

    Args:
        logps_BT: Log-probability of each token under the policy, nats, floating, shape (B, T).
        ref_logps_BT: The same under the reference policy, shape (B, T). No gradient is stopped.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).

    Returns:
        Nats per token, shape (B, T). 0 without gradient at masked positions, whatever they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> k2(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, 0.0]]), torch.tensor([[1, 0]]))
        tensor([[0.1250, 0.0000]])
    """
    return 0.5 * k1(logps_BT, ref_logps_BT, loss_mask_BT).square()


def k3(logps_BT: Tensor, ref_logps_BT: Tensor, loss_mask_BT: Tensor) -> Tensor:
    """Estimate by the log-ratio and its control variate: unbiased and never negative.

    k3[b, t] = exp(d) - d - 1 with d = ref_logps[b, t] - logps[b, t]

    Source: J. Schulman, "Approximating KL divergence" (joschu.net/blog/kl-approx.html, 2020); the
    KL term of GRPO (arXiv:2402.03300, section 4.1) and of TRL.

    Args:
        logps_BT: Log-probability of each token under the policy, nats, floating, shape (B, T).
        ref_logps_BT: The same under the reference policy, shape (B, T). No gradient is stopped.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).

    Returns:
        Nats per token, shape (B, T). 0 without gradient at masked positions, whatever they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> k3(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.5, 0.0]]), torch.tensor([[1, 0]]))
        tensor([[0.1065, 0.0000]])
    """
    difference_BT = -k1(logps_BT, ref_logps_BT, loss_mask_BT)
    # expm1 keeps the digits that exp(d) - 1 loses for small d, where k3 is about d**2 / 2.
    return torch.expm1(difference_BT) - difference_BT
