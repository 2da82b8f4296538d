"""Where a candidate goes: the position of the group that is given up, or outside the group."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.slots import worst_slot
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from rephrase_rl.guidance.blocks import Placement, StepContext
    from rephrase_rl.records import RolloutGroup


@dataclass(frozen=True, slots=True)
class ReplaceWorst:
    """The rollout of lowest reward, the first of them on ties (arXiv:2602.10819, section 3).

    Rollouts whose correctness could not be scored are never chosen. The first of equals is taken,
    so that the choice draws no randomness; members of a group are exchangeable, so it makes no
    difference in distribution.
    """

    @property
    def placement(self) -> Placement:
        """A member of the group."""
        return "member"

    def __call__(self, group: RolloutGroup, context: StepContext) -> int | None:
        """Position of the worst scored rollout, or None if none was scored."""
        return worst_position(group)


@dataclass(frozen=True, slots=True)
class ReplaceRandomFailure:
    """One of the failed rollouts, drawn with a seed of run, step and problem."""

    failure_reward_threshold: float = 0.5

    @property
    def placement(self) -> Placement:
        """A member of the group."""
        return "member"

    def __call__(self, group: RolloutGroup, context: StepContext) -> int | None:
        """Position of a failed rollout, or None if none failed."""
        failed = [
            i
            for i, correctness in enumerate(group.correctness)
            if correctness < self.failure_reward_threshold
        ]
        if not failed:
            return None
        problem_id = group.problem.problem_id
        seed = derive_seed(context.seed, context.step, problem_id, "slot")
        return random.Random(seed).choice(failed)


@dataclass(frozen=True, slots=True)
class LastPlace:
    """The last place of every group, fixed before any reward is seen (LUFFY, arXiv:2504.14945)."""

    @property
    def placement(self) -> Placement:
        """A member of the group."""
        return "member"

    def __call__(self, group: RolloutGroup, context: StepContext) -> int | None:
        """Always the last position."""
        return len(group.rollouts) - 1


@dataclass(frozen=True, slots=True)
class WholeGroup:
    """The candidate is all of its group that is trained on (HPT, arXiv:2509.04419)."""

    @property
    def placement(self) -> Placement:
        """The only member that is trained on."""
        return "whole_group"

    def __call__(self, group: RolloutGroup, context: StepContext) -> int | None:
        """Position of the worst scored rollout, or the first if none was scored."""
        return worst_position(group) or 0


@dataclass(frozen=True, slots=True)
class SupervisedStream:
    """Outside the group, in a supervised stream of its own (ReLIFT, CHORD)."""

    @property
    def placement(self) -> Placement:
        """A row of the stream."""
        return "stream"

    def __call__(self, group: RolloutGroup, context: StepContext) -> int | None:
        """Position of the rollout that acceptance rules compare with: the worst."""
        return worst_position(group) or 0


def worst_position(group: RolloutGroup) -> int | None:
    """First position of the lowest reward among rollouts that could be judged, if there are any."""
    rewards_PG = torch.tensor([group.rewards], dtype=torch.float64)
    unscored_PG = torch.tensor([group.correctness], dtype=torch.float64).isnan()
    position = int(worst_slot(rewards_PG.masked_fill(unscored_PG, torch.nan)).item())
    return None if position < 0 else position
