"""The device that a configuration names: this machine by its constants, or a GPU by its maker's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import ConfigError
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
    return measured_device(_constants(), how.arithmetic, said)


def verdict_seconds() -> dict[str, float]:
    """Seconds of one verdict by verifier on this machine; empty where it was never measured.

    Verifiers run on CPUs whatever the device, so this machine's are the best guess for any.
    """
    try:
        return dict(_constants().get("verify_s", {}))
    except ConfigError:
        return {}


def _constants() -> dict[str, Any]:
    hardware = describe_hardware()
    return find_constants(str(hardware["cpu"]), int(hardware["cores"]))
