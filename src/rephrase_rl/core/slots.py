"""Where a candidate goes: the place of the worst rollout, and the replacement itself.

``-1`` means "no place" in both functions, so that groups with and without an injection travel in
one tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.shapes import check_axes, check_group_values
from rephrase_rl.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor


def worst_slot(rewards_PG: Tensor) -> Tensor:
    """Give the position of each group's lowest reward.

    slot[p] = min(argmin_g r[p, g]) over the scored rollouts

    Source: RePO (arXiv:2602.10819): the rollout of lowest reward gives way. The paper does not say
    which one on ties; here it is the first.

    Args:
        rewards_PG: Reward per rollout, floating, shape (P, G). NaN marks an unscorable rollout,
            which is never chosen: it may have been right.

    Returns:
        int64, shape (P,), in [-1, G). -1 for a group without any scored rollout.

    Raises:
        ShapeError: ``rewards_PG`` is not 2-D or not floating.

    Example:
        >>> worst_slot(torch.tensor([[0.5, 0.0, 0.0], [float("nan"), 1.0, 1.0]]))
        tensor([1, 1])
    """
    check_group_values("rewards_PG", rewards_PG)
    scored_PG = ~rewards_PG.isnan()
    lowest_P1 = rewards_PG.masked_fill(~scored_PG, torch.inf).amin(dim=1, keepdim=True)
    is_lowest_PG = rewards_PG == lowest_P1  # NaN equals nothing
    # argmin does not promise the first of equal values on every device; counting positions does.
    num_members = rewards_PG.shape[1]
    position_G = torch.arange(num_members, device=rewards_PG.device)
    first_P = torch.where(is_lowest_PG, position_G, num_members).amin(dim=1)
    return torch.where(scored_PG.any(dim=1), first_P, -1)


def replace_at_slot(values_PG: Tensor, slot_P: Tensor, replacement_P: Tensor) -> Tensor:
    """Put one value per group in the given place and leave everything else as it is.

    out[p, g] = replacement[p] if g == slot[p] else values[p, g]

    Source: RePO (arXiv:2602.10819): the rewritten trajectory takes the place of a rollout, so the
    group still has G members.

    Args:
        values_PG: Anything kept per rollout (rewards, row numbers, ...), any dtype, shape (P, G).
            Not changed.
        slot_P: Place to be replaced, integer, shape (P,), in [-1, G). -1: nothing is replaced.
        replacement_P: The new values, same dtype as ``values_PG``, shape (P,). Not read where the
            slot is -1.

    Returns:
        A new tensor, same shape and dtype as ``values_PG``.

    Raises:
        ShapeError: Shapes or dtypes do not fit, or a slot lies outside the group.

    Example:
        >>> rewards_PG = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
        >>> replace_at_slot(rewards_PG, torch.tensor([0, -1]), torch.tensor([1.0, 1.0]))
        tensor([[1., 0.],
                [0., 1.]])
    """
    check_axes("values_PG", values_PG, "PG")
    num_problems, num_members = values_PG.shape
    for name, tensor in (("slot_P", slot_P), ("replacement_P", replacement_P)):
        check_axes(name, tensor, "P", {"P": num_problems})
    if slot_P.is_floating_point() or slot_P.dtype == torch.bool:
        raise ShapeError("slot_P", "an integer dtype", str(slot_P.dtype))
    if replacement_P.dtype != values_PG.dtype:
        raise ShapeError("replacement_P", str(values_PG.dtype), str(replacement_P.dtype))
    # A slot that does not exist would be ignored in silence, and the candidate lost.
    if bool(((slot_P < -1) | (slot_P >= num_members)).any()):
        raise ShapeError("slot_P", f"values in [-1, {num_members})", str(slot_P.tolist()))
    position_G = torch.arange(num_members, device=values_PG.device)
    return torch.where(position_G == slot_P.unsqueeze(1), replacement_P.unsqueeze(1), values_PG)
