"""The separate supervised stream of a method, which TRL's trainer alone has."""

from __future__ import annotations

from typing import Any

from rephrase_rl.trainers.trl.stream import BufferedStream, JointStream


def build_stream(slot: Any) -> JointStream | BufferedStream | None:
    """The separate supervised stream of a slot outside the group."""
    if slot.kind == "stream_joint":
        return JointStream(slot.peak, slot.valley, slot.decay_steps)
    if slot.kind == "stream_buffer":
        return BufferedStream(slot.size, slot.learning_rate)
    return None
