"""When to intervene: gates over one group of rollouts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.gates import failed_share_gate
from rephrase_rl.errors import BlockError
from rephrase_rl.guidance.sources import linear
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from rephrase_rl.guidance.blocks import Gate, StepContext
    from rephrase_rl.records import RolloutGroup


def opens(gate: Gate, group: RolloutGroup, context: StepContext) -> bool:
    """A gate's answer, which has to be yes or no: a forgotten ``return`` is not a closed gate.

    Raises:
        BlockError: It is neither.
    """
    answer: object = gate(group, context)
    try:
        yes, no = bool(answer == True), bool(answer == False)  # noqa: E712  (of NumPy or torch too)
    except (RuntimeError, TypeError, ValueError):  # an array of several answers
        yes = no = False
    if not (yes or no):
        raise BlockError(
            f"the gate ({getattr(gate, '__name__', type(gate).__name__)}) answered {answer!r} for "
            f"problem {group.problem.problem_id!r}; required: True or False; do this: have it "
            "return one of them for every group"
        )
    return yes


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


@dataclass(frozen=True, slots=True)
class SuccessRateGate:
    """Open where the share of passed rollouts is at most a limit (HPT, arXiv:2509.04419).

    Below 0 it never opens; 0 opens where all scored rollouts failed. A group without any scored
    rollout stays closed.
    """

    success_rate: float = 0.0
    failure_reward_threshold: float = 0.5

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether few enough of the group passed."""
        scored = [value for value in group.correctness if not math.isnan(value)]
        passed = sum(value >= self.failure_reward_threshold for value in scored)
        # Not 1 - failed share: its rounding would close the gate at 1 of 6 and a limit of 1 / 6.
        return bool(scored) and passed / len(scored) <= self.success_rate


@dataclass(frozen=True, slots=True)
class ScheduleGate:
    """Another gate's answer within a range of optimiser steps, closed outside it."""

    inner: Gate
    start_step: int = 0
    end_step: int | None = None
    """First step at which it is closed again. None: never."""

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether it is the time, and the inner gate opens."""
        if context.step < self.start_step:
            return False
        if self.end_step is not None and context.step >= self.end_step:
            return False
        return self.inner(group, context)


@dataclass(frozen=True, slots=True)
class ProbabilityGate:
    """Another gate's answer, kept with a probability that may change over the run.

    The draw has a seed of run, step and problem, so it is the same on every process and in every
    repetition.
    """

    inner: Gate
    start: float = 1.0
    end: float | None = None
    over_steps: int | None = None

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether the inner gate opens and the draw falls below the probability."""
        if not self.inner(group, context):
            return False
        probability = linear(self.start, self.end, self.over_steps, context)
        seed = derive_seed(context.seed, context.step, group.problem.problem_id, "gate")
        return seed % 2**32 / 2**32 < probability


@dataclass(frozen=True, slots=True)
class VisitsGate:
    """Another gate's answer, once the problem has failed completely at earlier visits too."""

    inner: Gate
    min_failed_visits: int = 1
    """Earlier visits, the most recent ones, at which no own rollout passed."""

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether it kept failing, and the inner gate opens."""
        earlier = context.history(group.problem.problem_id)[-self.min_failed_visits :]
        kept_failing = len(earlier) == self.min_failed_visits and not any(earlier)
        return kept_failing and self.inner(group, context)
