"""Losses for injected tokens other than the clipped surrogate, and their share of the whole.

Each takes the log-probability on q alone and needs neither an old policy nor a ratio: what was
injected was not sampled from the policy on q, so there is no ratio that would be right.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import torch

from rephrase_rl.core.shapes import check_axes, check_floating, check_token_values
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Normalisation: TypeAlias = Literal["joint", "separate"]


class NormalisationScales(NamedTuple):
    """Factors that go on the losses of a batch before they are divided by its joint count."""

    own: float
    injected: float


def shaped_loss(
    logps_BT: Tensor, advantages_B: Tensor, loss_mask_BT: Tensor, *, gamma: float
) -> Tensor:
    """Give the loss of expert tokens by their shaped probability.

    loss[b, t] = -A[b] p[b, t] / (p[b, t] + gamma)  with p = exp(logps)

    Its gradient on log p is -A gamma p / (p + gamma)^2, largest at p = gamma and small where p is:
    unlikely tokens are left alone.

    Source: LUFFY (arXiv:2504.14945), policy shaping; code ElliottYan/LUFFY@01f4ae0,
    mix_core_alg.py 69-251, with gamma 0.1, no clip and a behaviour probability of 1.

    Args:
        logps_BT: Log-probability of each token on q, nats, floating, shape (B, T). Gradients flow
            through it.
        advantages_B: Advantage of each row, floating, shape (B,). No gradient flows through it.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).
        gamma: Probability at which the gradient is largest, > 0.

    Returns:
        Loss per token, shape (B, T), not reduced. 0 without gradient at masked positions, whatever
        they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.
        ConfigError: ``gamma`` is not positive.

    Example:
        >>> logps_BT = torch.tensor([[0.1, 0.9]]).log()
        >>> shaped_loss(logps_BT, torch.tensor([1.0]), torch.ones(1, 2).bool(), gamma=0.1)
        tensor([[-0.5000, -0.9000]])
    """
    mask_BT = check_token_values(loss_mask_BT, logps_BT=logps_BT)
    check_axes("advantages_B", advantages_B, "B", {"B": logps_BT.shape[0]})
    check_floating("advantages_B", advantages_B)
    if not gamma > 0:
        raise ConfigError(f"gamma: found {gamma}, required a positive number")
    logps_BT = logps_BT.masked_fill(~mask_BT, 0.0)
    # p / (p + gamma) = sigmoid(log p - log gamma), which neither overflows nor divides 0 by 0.
    shaped_BT = torch.sigmoid(logps_BT - math.log(gamma))
    return (-advantages_B.detach().unsqueeze(1) * shaped_BT).masked_fill(~mask_BT, 0.0)


def nll_loss(logps_BT: Tensor, loss_mask_BT: Tensor) -> Tensor:
    """Give the negative log-likelihood of each token.

    loss[b, t] = -logps[b, t]

    Source: supervised fine-tuning; inside RL as in ReLIFT (arXiv:2506.07527) and HPT
    (arXiv:2509.04419).

    Args:
        logps_BT: Log-probability of each token on q, nats, floating, shape (B, T). Gradients flow
            through it.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).

    Returns:
        Loss per token, nats, shape (B, T), not reduced. 0 without gradient at masked positions,
        whatever they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> nll_loss(torch.tensor([[-1.5, -9.0]]), torch.tensor([[1, 0]]))
        tensor([[1.5000, 0.0000]])
    """
    mask_BT = check_token_values(loss_mask_BT, logps_BT=logps_BT)
    # 0 - x and not -x: a masked 0 must not come out as -0.
    return 0.0 - logps_BT.masked_fill(~mask_BT, 0.0)


def phi_weighted_nll_loss(logps_BT: Tensor, loss_mask_BT: Tensor) -> Tensor:
    """Give the negative log-likelihood of each token, weighted by how undecided the policy is.

    loss[b, t] = -phi[b, t] logps[b, t]  with phi = p (1 - p), p = exp(logps), without gradient

    Source: CHORD (arXiv:2508.11408), token-wise weights against both what is known already and
    what is too far away.

    Args:
        logps_BT: Log-probability of each token on q, nats, floating, shape (B, T). Gradients flow
            through it, and not through the weight.
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).

    Returns:
        Loss per token, nats, shape (B, T), not reduced. 0 without gradient at masked positions,
        whatever they held.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> phi_weighted_nll_loss(torch.tensor([[0.5]]).log(), torch.tensor([[1]]))
        tensor([[0.1733]])
    """
    mask_BT = check_token_values(loss_mask_BT, logps_BT=logps_BT)
    logps_BT = logps_BT.masked_fill(~mask_BT, 0.0)  # p = 1 there, so the weight is 0
    probability_BT = logps_BT.detach().exp()
    return 0.0 - probability_BT * (1 - probability_BT) * logps_BT


def normalisation_scales(
    num_own: float,
    num_injected: float,
    *,
    normalisation: Normalisation,
    num_all: float | None = None,
) -> NormalisationScales:
    """Turn one mean over all tokens into one over own and one over injected tokens.

    ``joint``: own = injected = 1

    ``separate``: own = N / N_own, injected = N / N_injected

    so that the sum of all losses, scaled and divided by N, is the mean over own tokens plus the
    mean over injected ones.

    Source: both are in LUFFY's code (arXiv:2504.14945; mix_core_alg.py has separate masked means as
    its default branch, and the main script takes the joint one).

    Args:
        num_own: Tokens (or rows, for a mean over rows) of the whole step that the policy sampled
            on q, over all micro-batches and ranks.
        num_injected: The same of injected ones.
        normalisation: Which of the two.
        num_all: N, what the sum of losses is divided by. None: N_own + N_injected. A mean over rows
            needs it, since a row with an injected prefix is of both kinds and one that is masked
            of neither.

    Returns:
        The two factors; 1 for a kind of which there is none.

    Raises:
        ConfigError: ``normalisation`` is unknown.

    Example:
        >>> normalisation_scales(90, 10, normalisation="separate")
        NormalisationScales(own=1.1111111111111112, injected=10.0)
    """
    if normalisation == "joint":
        return NormalisationScales(1.0, 1.0)
    if normalisation != "separate":
        raise ConfigError(f"normalisation: found {normalisation!r}, required 'joint' or 'separate'")
    total = num_own + num_injected if num_all is None else num_all
    return NormalisationScales(
        total / num_own if num_own else 1.0, total / num_injected if num_injected else 1.0
    )
