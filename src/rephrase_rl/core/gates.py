"""When to intervene: the share of a group that failed, and the gate of RePO.

Called by guidance with the correctness rewards of groups as they were sampled, before injection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.core.shapes import check_group_values

if TYPE_CHECKING:
    from torch import Tensor


def failure_mask(correctness_PG: Tensor, *, failure_reward_threshold: float = 0.5) -> Tensor:
    """Say which rollouts failed.

    failed[p, g] = r[p, g] < failure_reward_threshold

    Source: RePO (arXiv:2602.10819), the set counted by its failure rate; the threshold is the
    paper's delta, whose value it does not give.

    Args:
        correctness_PG: Reward that decides failure, floating, shape (P, G). NaN marks an
            unscorable rollout, which has neither failed nor passed.
        failure_reward_threshold: Rewards below it are failures. Same unit as the reward; any value
            in (0, 1] means the same for rewards of 0 and 1.

    Returns:
        bool, shape (P, G). False where unscorable.

    Raises:
        ShapeError: ``correctness_PG`` is not 2-D or not floating.

    Example:
        >>> failure_mask(torch.tensor([[1.0, 0.0, float("nan")]]))
        tensor([[False,  True, False]])
    """
    check_group_values("correctness_PG", correctness_PG)
    # A comparison with NaN is False: the unscorable need no case of their own.
    return correctness_PG < failure_reward_threshold


def failure_fraction(correctness_PG: Tensor, *, failure_reward_threshold: float = 0.5) -> Tensor:
    """Give the share of each group's scored rollouts that failed.

    failure_fraction[p] = #{g : r[p, g] < failure_reward_threshold} / #{g : r[p, g] is scored}

    Source: RePO (arXiv:2602.10819), the failure rate gamma.
    Deviation: the paper divides by G; unscorable rollouts, which it does not know, are left out
    above and below, so that a broken verifier neither opens nor closes a gate.

    Args:
        correctness_PG: Reward that decides failure, floating, shape (P, G). NaN: unscorable.
        failure_reward_threshold: Rewards below it are failures. Same unit as the reward.

    Returns:
        Fractions in [0, 1], float32, shape (P,). NaN for a group without any scored rollout.

    Raises:
        ShapeError: ``correctness_PG`` is not 2-D or not floating.

    Example:
        >>> failure_fraction(torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, float("nan"), 1.0]]))
        tensor([0.7500, 0.3333])
    """
    failed_PG = failure_mask(correctness_PG, failure_reward_threshold=failure_reward_threshold)
    # Whole numbers divided in float32, whatever the reward's dtype: bfloat16 cannot hold 2/3 well
    # enough to be compared with a threshold of 2/3.
    return failed_PG.sum(dim=1).float() / (~correctness_PG.isnan()).sum(dim=1)


def failed_share_gate(
    correctness_PG: Tensor,
    *,
    failure_reward_threshold: float = 0.5,
    gate_failure_fraction: float = 1.0,
) -> Tensor:
    """Open the gate of each group of which enough rollouts failed.

    open[p] = failure_fraction[p] >= gate_failure_fraction

    Source: RePO (arXiv:2602.10819), the group-reward gate; ``gate_failure_fraction`` is the paper's
    rho. 1.0 opens for groups in which every scored rollout failed, where GRPO has no signal.

    Args:
        correctness_PG: Reward that decides failure, floating, shape (P, G). NaN: unscorable.
        failure_reward_threshold: Rewards below it are failures. Same unit as the reward.
        gate_failure_fraction: Smallest share of failures that opens the gate, in [0, 1]. Above 0
            the gate stays closed for a group without failures; 0 opens it for every scored group.

    Returns:
        bool, shape (P,). False for a group without any scored rollout.

    Raises:
        ShapeError: ``correctness_PG`` is not 2-D or not floating.

    Example:
        >>> rewards_PG = torch.tensor([[0.0, 0.0], [0.0, 1.0], [float("nan"), float("nan")]])
        >>> failed_share_gate(rewards_PG)
        tensor([ True, False, False])
        >>> failed_share_gate(rewards_PG, gate_failure_fraction=0.5)
        tensor([ True,  True, False])
    """
    fraction_P = failure_fraction(correctness_PG, failure_reward_threshold=failure_reward_threshold)
    return fraction_P >= gate_failure_fraction
