"""Rewards of the final group, after any injection, to advantages.

Epsilon, degrees of freedom and the treatment of a group without spread are ours for every preset,
plain GRPO included, so that two methods never differ by an engine's default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import torch

from rephrase_rl.core.shapes import check_axes, check_floating, check_group_values
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

Scale: TypeAlias = Literal["group", "batch", "none"]
Aggregation: TypeAlias = Literal["sum_then_normalize", "normalize_then_sum"]


def has_spread(rewards_PG: Tensor) -> Tensor:
    """Say which groups have two scored rollouts of different reward, that is, any signal.

    has_spread[p] = max_g r[p, g] > min_g r[p, g] over the scored rollouts

    Source: the condition under which an advantage of GRPO (arXiv:2402.03300, section 4.1) is not 0.

    Args:
        rewards_PG: Reward per rollout, floating, shape (P, G). NaN: unscorable, left out.

    Returns:
        bool, shape (P,). False for a group with fewer than two scored rollouts.

    Raises:
        ShapeError: ``rewards_PG`` is not 2-D or not floating.

    Example:
        >>> has_spread(torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, float("nan")]]))
        tensor([ True, False, False])
    """
    check_group_values("rewards_PG", rewards_PG)
    # Decided by comparison: a standard deviation of 16 times 0.98 is not 0 in float32, and divided
    # by a small epsilon it would give advantages out of rounding.
    unscored_PG = rewards_PG.isnan()
    highest_P = rewards_PG.masked_fill(unscored_PG, -torch.inf).amax(dim=1)
    lowest_P = rewards_PG.masked_fill(unscored_PG, torch.inf).amin(dim=1)
    return highest_P > lowest_P


def group_advantages(
    rewards_PG: Tensor,
    *,
    scale: Scale = "group",
    std_ddof: Literal[0, 1] = 1,
    eps: float = 1e-6,
) -> Tensor:
    """Center rewards within each group and optionally divide by a spread.

    A[p, g] = (r[p, g] - mean_g r[p]) / (std + eps)

    with std = std_g r[p] for ``scale="group"``, std = std over all of r for ``"batch"``, and no
    division for ``"none"``.

    Source: GRPO with outcome supervision (arXiv:2402.03300, section 4.1); ``scale="none"`` is
    Dr. GRPO (arXiv:2503.20783); ``scale="batch"`` is PPO Lite (arXiv:2508.08221). RePO
    (arXiv:2602.10819) uses it on the group after injection.
    Conventions: TRL uses ddof 1 and eps 1e-4, verl ddof 1 and eps 1e-6.

    Args:
        rewards_PG: Reward per rollout, finite or NaN, floating, shape (P, G). NaN marks an
            unscorable rollout: it is left out of mean and std and gets advantage 0.
        scale: What to divide by, see above.
        std_ddof: 1 for the sample, 0 for the population standard deviation.
        eps: Added to the standard deviation. Same unit as the reward.

    Returns:
        Advantages, shape (P, G), same dtype. A group whose scored rewards are all equal, one with
        a single scored rollout included, gets exactly 0. No gradient flows through the result.

    Raises:
        ShapeError: ``rewards_PG`` is not 2-D or not floating.

    Example:
        >>> group_advantages(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), eps=0.0)
        tensor([[ 1.5000, -0.5000, -0.5000, -0.5000]])
        >>> group_advantages(torch.tensor([[0.98, 0.98, 0.98]]), eps=0.0)
        tensor([[0., 0., 0.]])
    """
    check_group_values("rewards_PG", rewards_PG)
    rewards_PG = rewards_PG.detach()
    advantages_PG = rewards_PG - rewards_PG.nanmean(dim=1, keepdim=True)
    if scale == "group":
        advantages_PG = advantages_PG / (_nanstd(rewards_PG, 1, std_ddof) + eps)
    elif scale == "batch":
        advantages_PG = advantages_PG / (_nanstd(rewards_PG, (0, 1), std_ddof) + eps)
    elif scale != "none":
        raise ConfigError(f"scale: found {scale!r}, required 'group', 'batch' or 'none'")
    counts_PG = has_spread(rewards_PG).unsqueeze(1) & ~rewards_PG.isnan()
    return torch.where(counts_PG, advantages_PG, 0.0)


def multi_reward_advantages(
    rewards_PGK: Tensor,
    weights_K: Tensor,
    *,
    aggregation: Aggregation = "sum_then_normalize",
    scale: Scale = "group",
    std_ddof: Literal[0, 1] = 1,
    eps: float = 1e-6,
) -> Tensor:
    """Turn several rewards per rollout into one advantage.

    ``sum_then_normalize``: r[p, g] = sum_k w[k] r[p, g, k], then ``group_advantages`` of r.

    ``normalize_then_sum``: a[p, g] = sum_k w[k] (r[p, g, k] - mean_g) / (std_g + eps), then
    A[p, g] = a[p, g] / (std of all a + eps).

    Source: TRL 1.16.0, ``multi_objective_aggregation``; ``normalize_then_sum`` is GDPO
    (arXiv:2601.05242). Same conventions for missing entries as TRL.
    Deviation: a group without spread gets exactly 0 (per reward and in the end), and the second
    form does not subtract the mean of all a, which is 0 but for rounding.

    Args:
        rewards_PGK: Reward per rollout and reward function, finite or NaN, floating, shape
            (P, G, K). NaN: this function did not apply; it is left out of the sum. A rollout with
            nothing but NaN is unscorable.
        weights_K: Weight of each function, floating, shape (K,).
        aggregation: Which of the two forms.
        scale: As in ``group_advantages``. The second form has a scale of its own and takes
            ``"group"`` only.
        std_ddof: 1 for the sample, 0 for the population standard deviation.
        eps: Added to every standard deviation.

    Returns:
        Advantages, shape (P, G), dtype of the rewards. Unscorable rollouts get 0. No gradient
        flows through the result.

    Raises:
        ShapeError: Shapes do not fit or a dtype is not floating.
        ConfigError: ``aggregation`` is unknown, or ``scale`` is one that it cannot have.

    Example:
        >>> rewards_PGK = torch.tensor([[[1.0, 0.2], [0.0, 0.2], [0.0, float("nan")]]])
        >>> multi_reward_advantages(rewards_PGK, torch.tensor([1.0, 0.5]), scale="none")
        tensor([[ 0.7000, -0.3000, -0.4000]])
    """
    check_axes("rewards_PGK", rewards_PGK, "PGK")
    check_floating("rewards_PGK", rewards_PGK)
    check_axes("weights_K", weights_K, "K", {"K": rewards_PGK.shape[2]})
    check_floating("weights_K", weights_K)
    weights_K = weights_K.detach().to(rewards_PGK)
    if aggregation == "sum_then_normalize":
        total_PG = _weighted_sum(rewards_PGK, weights_K)
        return group_advantages(total_PG, scale=scale, std_ddof=std_ddof, eps=eps)
    if aggregation != "normalize_then_sum":
        raise ConfigError(
            f"aggregation: found {aggregation!r}, required 'sum_then_normalize' or "
            "'normalize_then_sum'"
        )
    if scale != "group":
        raise ConfigError(
            f"scale: found {scale!r} with aggregation 'normalize_then_sum', which always divides "
            "by the group's and then by the batch's spread: set scale to 'group', or aggregation "
            "to 'sum_then_normalize'"
        )
    normalized_PGK = torch.stack(
        [
            group_advantages(rewards_PG, std_ddof=std_ddof, eps=eps)
            for rewards_PG in rewards_PGK.unbind(dim=2)
        ],
        dim=2,
    )
    total_PG = _weighted_sum(normalized_PGK.masked_fill(rewards_PGK.isnan(), torch.nan), weights_K)
    # No mean to subtract: within a group each normalised reward sums to 0. Subtracting its rounding
    # would give the dead groups of a batch an advantage.
    total_PG = total_PG / (_nanstd(total_PG, (0, 1), std_ddof) + eps)
    # NaN: unscorable rollouts, and a batch with a single scored rollout, which has no spread.
    return total_PG.nan_to_num(nan=0.0)


def _weighted_sum(rewards_PGK: Tensor, weights_K: Tensor) -> Tensor:
    """Sum over the functions that applied; NaN where none did (a sum of nothing is not 0)."""
    total_PG = torch.zeros_like(rewards_PGK[:, :, 0])
    # One function after the other: rollouts of equal rewards then have bitwise equal totals on any
    # device, which a reduction kernel does not promise and the test for spread relies on.
    for rewards_PG, weight in zip(rewards_PGK.unbind(dim=2), weights_K, strict=True):
        total_PG = total_PG + (rewards_PG * weight).nan_to_num(nan=0.0)
    return total_PG.masked_fill(rewards_PGK.isnan().all(dim=2), torch.nan)


def _nanstd(values_PG: Tensor, dim: int | tuple[int, int], ddof: int) -> Tensor:
    """Give the standard deviation of the entries that are not NaN; NaN or inf if too few."""
    squares_PG = (values_PG - values_PG.nanmean(dim=dim, keepdim=True)) ** 2
    count = (~values_PG.isnan()).sum(dim=dim, keepdim=True)
    return (squares_PG.nansum(dim=dim, keepdim=True) / (count - ddof)).sqrt()
