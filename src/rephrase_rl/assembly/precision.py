"""The number format of a run's arithmetic where its configuration leaves it to the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from rephrase_rl.runs import RunDirectory
from rephrase_rl.trainers.trl.precision import bf16_pays

if TYPE_CHECKING:
    from rephrase_rl.assembly.run_parts import RunRequest


def precision_fields(request: RunRequest, model: Any) -> dict[str, bool]:
    """What ``trainer.bf16`` is on a CPU where the user did not say.

    A resumed run goes on in the format that it was begun in, whatever a new measurement would find.
    The first process decides for all.

    Args:
        request: The run.
        model: Its policy.
    """
    section = request.config.trainer
    if "bf16" in section or "fp16" in section or torch.cuda.is_available():
        return {}
    if model.dtype != torch.float32:
        return {}
    found: list[Any] = [None]
    if PartialState().is_main_process:
        earlier = None
        if request.resume and (request.run_path / "manifest.json").is_file():
            earlier = RunDirectory.open(request.run_path).manifest.get("precision")
        found = [earlier["bf16"] if isinstance(earlier, dict) else bf16_pays(model)]
    if PartialState().num_processes > 1:
        broadcast_object_list(found)
    return {"bf16": bool(found[0])}
