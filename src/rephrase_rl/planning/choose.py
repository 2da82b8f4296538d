"""The device that a configuration names: this machine by its constants, or a GPU by its maker's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.planning.measured import find_constants, measured_device
from rephrase_rl.planning.published import Assumptions, published_device
from rephrase_rl.runs.hardware import describe_hardware

if TYPE_CHECKING:
    from rephrase_rl.config import PlanConfig
    from rephrase_rl.planning.devices import Device
    from rephrase_rl.planning.setting import Computing


def chosen_device(plan: PlanConfig, how: Computing) -> Device:
    """Find the planned device.

    Args:
        plan: Names it, and says what is assumed of it.
        how: For the number format and the sampler.

    Raises:
        ConfigError: It is not known, or was not measured.
    """
    said = Assumptions(
        training_fraction=plan.training_fraction,
        decode_fraction=plan.decode_fraction,
        link_gb_s=plan.link_gb_s,
        network_gb_s=plan.network_gb_s,
        devices_per_node=plan.devices_per_node,
    )
    if plan.device != "this":
        return published_device(plan.device, how.sampler, said)
    hardware = describe_hardware()
    constants = find_constants(str(hardware["cpu"]), int(hardware["cores"]))
    return measured_device(constants, how.arithmetic, said)
