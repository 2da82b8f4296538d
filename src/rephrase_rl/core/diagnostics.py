"""What to look at in a run: dead groups, rescued groups, clipping, distance from the policy.

Nothing here trains; no gradient flows through any result. Where there is nothing to measure the
answer is NaN, never 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from rephrase_rl.core.advantages import has_spread
from rephrase_rl.core.gates import failure_fraction
from rephrase_rl.core.shapes import check_axes, check_floating, check_token_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class ClipFractions(NamedTuple):
    """Shares of the tokens that count, scalars in [0, 1]; NaN if no token counts."""

    low: Tensor
    """Ratio below 1 - clip_low where A < 0."""
    high: Tensor
    """Ratio above 1 + clip_high where A > 0."""


def all_failed_fraction(correctness_PG: Tensor, *, failure_reward_threshold: float = 0.5) -> Tensor:
    """Give the share of groups in which every scored rollout failed.

    mean over p of [failure_fraction[p] = 1], over groups with a scored rollout

    Source: the groups that RePO (arXiv:2602.10819) is for. Kept apart from ``all_passed_fraction``:
    both have no spread, and only one of them is a problem.

    Args:
        correctness_PG: Reward that decides failure, floating, shape (P, G). NaN: unscorable.
        failure_reward_threshold: Rewards below it are failures. Same unit as the reward.

    Returns:
        float32 scalar in [0, 1]; NaN if no group has a scored rollout.

    Raises:
        ShapeError: ``correctness_PG`` is not 2-D or not floating.

    Example:
        >>> all_failed_fraction(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
        tensor(0.5000)
    """
    fraction_P = failure_fraction(correctness_PG, failure_reward_threshold=failure_reward_threshold)
    return (fraction_P == 1).float().masked_fill(fraction_P.isnan(), torch.nan).nanmean()


def all_passed_fraction(correctness_PG: Tensor, *, failure_reward_threshold: float = 0.5) -> Tensor:
    """Give the share of groups in which no scored rollout failed.

    mean over p of [failure_fraction[p] = 0], over groups with a scored rollout

    Source: the other half of the groups without signal in GRPO (arXiv:2402.03300, section 4.1).

    Args:
        correctness_PG: Reward that decides failure, floating, shape (P, G). NaN: unscorable.
        failure_reward_threshold: Rewards below it are failures. Same unit as the reward.

    Returns:
        float32 scalar in [0, 1]; NaN if no group has a scored rollout.

    Raises:
        ShapeError: ``correctness_PG`` is not 2-D or not floating.

    Example:
        >>> all_passed_fraction(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
        tensor(0.5000)
    """
    fraction_P = failure_fraction(correctness_PG, failure_reward_threshold=failure_reward_threshold)
    return (fraction_P == 0).float().masked_fill(fraction_P.isnan(), torch.nan).nanmean()


def rescued(rewards_before_PG: Tensor, rewards_after_PG: Tensor) -> Tensor:
    """Say which groups had no spread before injection and have some after it.

    rescued[p] = has_spread(after)[p] and not has_spread(before)[p]

    Source: the groups that turn from no gradient to some by RePO (arXiv:2602.10819).

    Args:
        rewards_before_PG: Reward per rollout as sampled, floating, shape (P, G). NaN: unscorable.
        rewards_after_PG: The same after injection, shape (P, G).

    Returns:
        bool, shape (P,).

    Raises:
        ShapeError: Shapes differ, or a tensor is not 2-D or not floating.

    Example:
        >>> rescued(torch.tensor([[0.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        tensor([ True, False])
    """
    sizes = dict(zip("PG", rewards_before_PG.shape, strict=False))
    check_axes("rewards_after_PG", rewards_after_PG, "PG", sizes)
    return has_spread(rewards_after_PG) & ~has_spread(rewards_before_PG)


def mean_logp(logps_BT: Tensor, loss_mask_BT: Tensor) -> Tensor:
    """Average each row's log-probability over the tokens that count.

    mean_logp[b] = mean over t of logps[b, t]

    Source: the distance of a rewrite from the policy, to be compared under q, under P(q, k), for
    own rollouts and for the expert's text (the question that RePO, arXiv:2602.10819, leaves open).

    Args:
        logps_BT: Log-probability of each token, nats, floating, shape (B, T).
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).

    Returns:
        Nats per token, shape (B,), same dtype. NaN for a row without tokens.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> mean_logp(torch.tensor([[-1.0, -2.0], [-3.0, -9.0]]), torch.tensor([[1, 1], [1, 0]]))
        tensor([-1.5000, -3.0000])
    """
    mask_BT = check_token_values(loss_mask_BT, logps_BT=logps_BT)
    return logps_BT.detach().masked_fill(~mask_BT, 0.0).sum(dim=1) / mask_BT.sum(dim=1)


def clip_fractions(
    ratio_BT: Tensor,
    advantages_B: Tensor,
    loss_mask_BT: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> ClipFractions:
    """Give the shares of tokens that the clipped surrogate keeps from having a gradient.

    low = mean of [ratio < 1 - clip_low and A < 0], high = mean of [ratio > 1 + clip_high and A > 0]

    Source: the two clipped regions of PPO (arXiv:1707.06347, section 3); ``clip_ratio/low_mean``
    and ``clip_ratio/high_mean`` of TRL. Where A is 0 nothing is clipped: there was no gradient.

    Args:
        ratio_BT: pi_theta/pi_old, floating, shape (B, T).
        advantages_B: Advantage of each row, floating, shape (B,).
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T).
        clip_low: As in ``clipped_surrogate``.
        clip_high: As in ``clipped_surrogate``.

    Returns:
        The two shares.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> ratio_BT = torch.tensor([[0.5, 1.0], [0.5, 2.0]])
        >>> advantages_B = torch.tensor([-1.0, 1.0])
        >>> clip_fractions(ratio_BT, advantages_B, torch.ones(2, 2, dtype=torch.bool))
        ClipFractions(low=tensor(0.2500), high=tensor(0.2500))
    """
    mask_BT = check_token_values(loss_mask_BT, ratio_BT=ratio_BT)
    check_axes("advantages_B", advantages_B, "B", {"B": ratio_BT.shape[0]})
    check_floating("advantages_B", advantages_B)
    advantages_B1 = advantages_B.unsqueeze(1)
    is_low_BT = mask_BT & (ratio_BT < 1 - clip_low) & (advantages_B1 < 0)
    is_high_BT = mask_BT & (ratio_BT > 1 + clip_high) & (advantages_B1 > 0)
    num_tokens = mask_BT.sum()
    return ClipFractions(is_low_BT.sum() / num_tokens, is_high_BT.sum() / num_tokens)


def context_ratio_quantiles(
    context_ratio_BT: Tensor,
    loss_mask_BT: Tensor,
    *,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
) -> Tensor:
    """Give quantiles of the context ratio over the tokens that count.

    Linear interpolation between order statistics, as numpy's default.

    Source: how far an injected text is from what the policy says on its own, the correction that
    Guide-GRPO (arXiv:2506.13923) makes and RePO (arXiv:2602.10819) does not.

    Args:
        context_ratio_BT: From ``context_ratio``, best without cap, floating, shape (B, T).
        loss_mask_BT: Tokens that count, bool or 0/1, shape (B, T). Of injected rows only, or the
            quantiles are those of ones.
        quantiles: Which, in [0, 1].

    Returns:
        One value per quantile, in their order, float32 or float64. NaN if no token counts.

    Raises:
        ShapeError: Shapes or dtypes do not fit.

    Example:
        >>> ratio_BT = torch.tensor([[0.1, 0.5, 0.9, 7.0]])
        >>> context_ratio_quantiles(ratio_BT, torch.tensor([[1, 1, 1, 0]]), quantiles=(0.0, 0.5))
        tensor([0.1000, 0.5000])
    """
    mask_BT = check_token_values(loss_mask_BT, context_ratio_BT=context_ratio_BT)
    values_N = context_ratio_BT.detach()[mask_BT]
    if values_N.dtype not in (torch.float32, torch.float64):
        values_N = values_N.float()
    if values_N.numel() == 0:
        return values_N.new_full((len(quantiles),), torch.nan)
    # Sorted by hand: torch.quantile refuses more than 2**24 values, a long batch at full size.
    sorted_N = values_N.sort().values
    position_Q = values_N.new_tensor(quantiles, dtype=torch.float64) * (len(sorted_N) - 1)
    below_Q, weight_Q = position_Q.long(), position_Q.frac().to(values_N)
    above_Q = (below_Q + 1).clamp(max=len(sorted_N) - 1)
    return torch.lerp(sorted_N[below_Q], sorted_N[above_Q], weight_Q)
