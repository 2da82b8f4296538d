"""When to intervene."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from rephrase_rl.config.base import ConfigModel
from rephrase_rl.config.blocks.fields import Count, CustomBlock, Positive, Share, required_together


class NeverGate(ConfigModel):
    """No group is touched: plain GRPO."""

    kind: Literal["never"] = "never"
    """Which gate."""


class AlwaysGate(ConfigModel):
    """Every group that has an expert solution gets a candidate, whatever its rewards."""

    kind: Literal["always"] = "always"
    """Which gate."""


class FailedShareGate(ConfigModel):
    """Opens where the failed share of a group reaches a limit (RePO's gamma >= rho)."""

    kind: Literal["failed_share"] = "failed_share"
    """Which gate."""
    gate_failure_fraction: Annotated[float, Field(ge=0.0)] = 1.0
    """Failed share, of the scored rollouts, from which on the gate opens; rho of the paper, which
    leaves its main value open and ablates 0.5 and 0.75. 1: only if all failed, where GRPO has no
    signal at all. 0: always open. Above 1: never."""


class SuccessRateGate(ConfigModel):
    """Opens where the passed share of a group is at most a limit (HPT, arXiv:2509.04419)."""

    kind: Literal["success_rate"] = "success_rate"
    """Which gate."""
    success_rate: Annotated[float, Field(le=1.0)] = 0.0
    """Largest passed share, of the scored rollouts, at which the gate opens. Below 0: never."""


class ScheduleGate(ConfigModel):
    """Another gate's answer within a range of optimiser steps, closed outside it."""

    kind: Literal["schedule"] = "schedule"
    """Which gate."""
    start_step: Count = 0
    """First step, from 0."""
    end_step: Count | None = None
    """Step from which on the gate stays closed. null: none."""
    inner: Gate = FailedShareGate()
    """The gate inside the range."""


class ProbabilityGate(ConfigModel):
    """Another gate's answer, kept with a probability that may change over the run."""

    kind: Literal["probability"] = "probability"
    """Which gate."""
    start: Share = 1.0
    """Probability at step 0, and everywhere if there is no end."""
    end: Share | None = None
    """Probability after ``over_steps`` steps, reached on a straight line. null: constant."""
    over_steps: Positive | None = None
    """Optimiser steps from start to end; required with ``end``."""
    inner: Gate = FailedShareGate()
    """The gate whose opening is kept or not."""

    @model_validator(mode="after")
    def _end_has_a_length(self) -> Self:
        required_together(self, "end", "over_steps")
        return self


class VisitsGate(ConfigModel):
    """Another gate's answer, once the problem has failed completely at earlier visits too."""

    kind: Literal["visits"] = "visits"
    """Which gate."""
    min_failed_visits: Positive = 1
    """Earlier visits, the most recent ones, at which no own rollout passed."""
    inner: Gate = FailedShareGate()
    """The gate asked after that."""


Gate: TypeAlias = Annotated[
    NeverGate
    | AlwaysGate
    | FailedShareGate
    | SuccessRateGate
    | ScheduleGate
    | ProbabilityGate
    | VisitsGate
    | CustomBlock,
    Field(discriminator="kind"),
]
"""When to intervene."""
