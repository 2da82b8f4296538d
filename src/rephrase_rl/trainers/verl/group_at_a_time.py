"""Methods that need more than a group at a time, which is what verl's workers hold.

Imports nothing of verl's, so that a launch is refused where verl is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.guidance.gate_by_dataset import GateByDataset
from rephrase_rl.guidance.gates import ProbabilityGate, ScheduleGate, VisitsGate
from rephrase_rl.guidance.memory import remembers

if TYPE_CHECKING:
    from rephrase_rl.guidance.blocks import Guidance


def guidance_faults(guidance: Guidance) -> list[str]:
    """Blocks that need more than a group at a time."""
    faults = []
    if guidance.slot is not None and guidance.slot.placement == "stream":
        faults.append(
            f"guidance.slot {type(guidance.slot).__name__} feeds a supervised stream, which verl's "
            "trainer does not have; train this method with TRL"
        )
    if guidance.source is not None and remembers(guidance.source):
        faults.append(
            f"guidance.source {type(guidance.source).__name__} has a memory, and verl sends a "
            "problem to another worker at each visit; train with TRL, or set cache_steps to 0"
        )
    if any(isinstance(gate, VisitsGate) for gate in _gates_within(guidance.gate)):
        faults.append(
            "guidance.gate 'visits' asks for earlier visits of a problem, which are spread over "
            "verl's workers; use failed_share, or train with TRL"
        )
    if guidance.no_spread == "resample":
        faults.append(
            "guidance.no_spread.policy 'resample' draws further problems, which verl hands out "
            "itself; use keep or drop, or train with TRL"
        )
    if guidance.sampling == "anticipated":
        faults.append(
            "guidance.source.sampling 'anticipated' saves a pass that verl's servers make for "
            "other groups meanwhile; set it to lazy"
        )
    return faults


def _gates_within(gate: Any) -> list[Any]:
    """A gate and all gates inside it."""
    inner: list[Any] = []
    if isinstance(gate, ScheduleGate | ProbabilityGate | VisitsGate):
        inner = [gate.inner]
    elif isinstance(gate, GateByDataset):
        inner = [gate.default, *gate.gates.values()]
    return [gate, *(found for one in inner for found in _gates_within(one))]
