"""Adapters of a run as verl 0.9.1 has them: rank, alpha and layers; nothing else of LoRA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.config.lora import ALL_LINEAR
from rephrase_rl.rollout.adapters import adapter_base

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig

MODEL, ROLLOUT = "actor_rollout_ref.model", "actor_rollout_ref.rollout"


def adapter_settings(config: RunConfig) -> dict[str, Any]:
    """Verl's fields for ``model.lora``; nothing where all weights are trained."""
    lora = config.model.lora
    if lora is None:
        return {}
    return {
        f"{MODEL}.lora_rank": lora.r,
        f"{MODEL}.lora_alpha": lora.alpha,
        f"{MODEL}.target_modules": ALL_LINEAR
        if lora.takes_all_linear
        else list(lora.target_modules),
        # The servers load the base weights themselves and are sent adapters alone.
        f"{ROLLOUT}.load_format": "safetensors",
    }


def adapter_faults(config: RunConfig) -> list[str]:
    """What of ``model.lora`` has no counterpart in verl."""
    faults = []
    model, lora = starting_model(config), config.model.lora
    if adapter_base(model.path) is not None:
        faults.append(
            f"the policy {model.path} is an adapter, and verl loads whole models; write it as one "
            "(`rephrase-rl export merged`) and give the new folder as model.path"
        )
    if lora is None:
        return faults
    if lora.dropout:
        faults.append(
            f"model.lora.dropout is {lora.dropout:g}, and verl's adapters have none; leave it out"
        )
    if lora.use_rslora:
        faults.append(
            "model.lora.use_rslora is set, and verl scales by alpha / r: leave it out and set "
            "alpha accordingly"
        )
    if model.load_in_4bit:
        faults.append("model.load_in_4bit is set, and verl has no weights in 4 bits: train on TRL")
    return faults
