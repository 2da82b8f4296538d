"""What a device can do, in seconds per unit of work, and where each figure comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rephrase_rl.planning.work import Rates

Origin = Literal["measured", "published", "assumed", "configured", "counted"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure that a plan rests on."""

    name: str
    value: str
    """With its unit."""
    origin: Origin
    source: str
    """Command, address, field or reason."""


@dataclass(frozen=True, slots=True)
class ProgramRates:
    """Rates of the four programs that a step is made of, in one number format."""

    score: Rates
    """Passes without gradient: prefill and log-probs."""
    forward: Rates
    """The forward half of training."""
    backward: Rates
    """The backward half, per unit of ``backward_work``."""
    decode: Rates
    """Sampling token by token."""


@dataclass(frozen=True, slots=True)
class TrainerOverhead:
    """What a step of the trainer takes beyond the model's work."""

    generate: float = 1.0
    """Factor of sampling."""
    forward: float = 1.0
    """Factor of the forward half of training."""
    backward: float = 1.0
    """Factor of the backward half."""
    step_s: float = 0.0
    """Seconds of each optimiser step."""
    row_s: float = 0.0
    """Seconds of each row."""


@dataclass(frozen=True, slots=True)
class Links:
    """Ways between devices, bytes per second in one direction, as achieved."""

    within_node: float
    between_nodes: float
    devices_per_node: int = 8
    latency_s: float = 1e-5
    """Seconds of one hop of a ring."""

    def bandwidth(self, devices: int) -> float:
        """The slowest link that a ring over this many devices uses."""
        return self.within_node if devices <= self.devices_per_node else self.between_nodes


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator, or one CPU with its cores."""

    name: str
    memory_bytes: float
    rates: Mapping[str, ProgramRates]
    """By number format of the arithmetic."""
    optimiser_s_per_parameter: float
    is_cpu: bool
    links: Links | None = None
    """None: more than one device cannot be planned for."""
    overhead: TrainerOverhead = TrainerOverhead()
    """Of the trainer around the model."""
    process_bytes: float = 0.0
    """Memory of a process that has loaded the libraries and nothing else."""
    facts: tuple[Fact, ...] = ()
