"""What a preset is, and the parts that several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """One method: its blocks, what it differs in from the trainer's defaults, and its source."""

    name: str
    summary: str
    """One sentence."""
    paper: str
    """arXiv id and section of the method."""
    blocks: Mapping[str, Any]
    """A part of ``GuidanceConfig``; what is missing has that model's default."""
    trainer: Mapping[str, Any]
    """Fields of TRL's ``GRPOConfig`` in which the method differs from ``TRAINER_DEFAULTS``."""
    deviations: tuple[str, ...]
    """Where ours is known to differ from the paper or its code, one sentence each."""


NO_GUIDANCE: Mapping[str, Any] = {
    "gate": {"kind": "never"},
    "source": {"kind": "none"},
    "accept": [],
}
ALL_FAILED: Mapping[str, Any] = {"kind": "failed_share", "gate_failure_fraction": 1.0}
OWN_WORDS = ["reward_above_replaced", "finished", "no_meta_text"]
"""What a text that the policy wrote with help must be before it may enter."""
LUFFY_LOSS: Mapping[str, Any] = {"loss_type": "dr_grpo", "entropy_coef": 0.001}
"""Constant length in the denominator, entropy bonus; beside ``advantages.scale: none``."""
NO_CLIP: Mapping[str, Any] = {"epsilon": 1e9}
"""A range that no ratio leaves."""
