"""Where a candidate goes: the position of the group that is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.slots import worst_slot

if TYPE_CHECKING:
    from rephrase_rl.records import RolloutGroup


@dataclass(frozen=True, slots=True)
class ReplaceWorst:
    """The rollout of lowest reward, the first of them on ties (arXiv:2602.10819, section 3).

    Rollouts whose correctness could not be scored are never chosen. The first of equals is taken,
    so that the choice draws no randomness; members of a group are exchangeable, so it makes no
    difference in distribution.
    """

    def __call__(self, group: RolloutGroup) -> int | None:
        """Position of the worst scored rollout, or None if none was scored."""
        rewards_PG = torch.tensor([group.rewards], dtype=torch.float64)
        unscored_PG = torch.tensor([group.correctness], dtype=torch.float64).isnan()
        position = int(worst_slot(rewards_PG.masked_fill(unscored_PG, torch.nan)).item())
        return None if position < 0 else position
