"""When to intervene: gates over one group of rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.gates import failed_share_gate

if TYPE_CHECKING:
    from rephrase_rl.guidance.blocks import StepContext
    from rephrase_rl.records import RolloutGroup


@dataclass(frozen=True, slots=True)
class AlwaysGate:
    """Open for every group."""

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Always true."""
        return True


@dataclass(frozen=True, slots=True)
class FailedShareGate:
    """Open where the share of failed rollouts reaches a threshold (arXiv:2602.10819, section 3).

    ``gate_failure_fraction`` 1.0 opens only where every scored rollout failed, which is exactly
    where GRPO has no signal. A value above 1 never opens. Unscorable rollouts count neither as
    failed nor as passed; a group without any scored rollout stays closed.
    """

    gate_failure_fraction: float = 1.0
    failure_reward_threshold: float = 0.5

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether enough of the group failed."""
        correctness_PG = torch.tensor([group.correctness], dtype=torch.float64)
        opened_P = failed_share_gate(
            correctness_PG,
            failure_reward_threshold=self.failure_reward_threshold,
            gate_failure_fraction=self.gate_failure_fraction,
        )
        return bool(opened_P.item())
