"""The machine that a first configuration is for, and the micro-batch that its memory holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from rephrase_rl.planning.devices import Device
from rephrase_rl.planning.memory import device_memory
from rephrase_rl.planning.published import PROCESS_BYTES
from rephrase_rl.planning.setting import Computing, Setting, Sharding, Workload
from rephrase_rl.runs.hardware import describe_hardware

if TYPE_CHECKING:
    from rephrase_rl.planning import ModelShape

MICRO_BATCHES = (16, 8, 4, 2, 1)
DEFAULT_MICRO_BATCH = 8
"""Where the model's sizes are not known."""
ASSUMED_BYTES = 8e9
"""Memory of a machine that does not say how much it has."""
CPU_PROCESS_BYTES = 0.54e9
"""Memory of a process that has loaded torch and transformers, as in ``planning/measured``."""

PLANNED_NAMES = (
    ("h100-sxm", "H100"),
    ("h200-sxm", "H200"),
    ("a100-80gb-sxm", "A100"),
    ("l40s", "L40S"),
    ("rtx-4090", "4090"),
    ("mi300x", "MI300X"),
)
"""Name of a GPU in ``plan.device``, and the part of its own name that says so."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the configuration is made for."""

    kind: Literal["cpu", "gpu"]
    name: str
    cores: int
    memory_bytes: float
    """Of one GPU; without GPUs, of the machine."""
    gpus: tuple[str, ...] = ()
    bfloat16: bool = False
    """Whether the GPUs compute in bfloat16."""

    @property
    def planned_name(self) -> str | None:
        """What ``plan.device`` calls the GPU; None if it knows it not, or there is none."""
        return next((name for name, part in PLANNED_NAMES if part in self.name), None)


def this_machine() -> Machine:
    """The GPUs of this machine; without one, its processor."""
    hardware = describe_hardware()
    gpus = tuple(str(name) for name in hardware["gpus"] or ())
    cores = int(hardware["cores"])
    if gpus:
        memory = min(
            torch.cuda.get_device_properties(index).total_memory for index in range(len(gpus))
        )
        return Machine("gpu", gpus[0], cores, memory, gpus, torch.cuda.is_bf16_supported())
    installed = float(hardware["memory_bytes"] or ASSUMED_BYTES)
    return Machine("cpu", str(hardware["cpu"]), cores, installed)


def largest_micro_batch(
    shape: ModelShape | None,
    machine: Machine,
    *,
    rows: int,
    group_size: int,
    lengths: tuple[int, int, int],
    sharding: Sharding = "ddp",
) -> tuple[int, float | None, bool | None]:
    """The most rows of one pass that fit.

    Args:
        shape: Sizes of the model. None: not known, and nothing is estimated.
        machine: Its memory counts.
        rows: Of an optimiser step on all devices.
        group_size: Rollouts of a problem.
        lengths: Tokens of a prompt, of the longest completion, and of the longest P(q, k).
        sharding: Whether every GPU holds everything, or weights are divided over them.

    Returns:
        Rows, the peak in bytes and whether it fits; the last two None where nothing is known.
    """
    own = rows // max(1, len(machine.gpus))
    options = [size for size in MICRO_BATCHES if size <= own and own % size == 0]
    if shape is None:
        return min(DEFAULT_MICRO_BATCH, options[0]), None, None
    peak = 0.0
    for size in options:
        setting = _setting(shape, machine, rows, group_size, size, lengths)
        memory = device_memory(setting.with_how(sharding=sharding))
        peak = memory.peak
        if memory.fits:
            return size, peak, True
    return options[-1], peak, False


def _setting(
    shape: ModelShape,
    machine: Machine,
    rows: int,
    group_size: int,
    micro: int,
    lengths: tuple[int, int, int],
) -> Setting:
    """A step in which every completion is as long as it may be."""
    on_gpu = machine.kind == "gpu"
    prompt, completion, context = lengths
    work = Workload(
        problems=rows / group_size,
        group_size=group_size,
        rows_per_step=rows,
        micro_batch_rows=micro,
        prompt_tokens=prompt,
        completion_tokens=completion,
        longest_completion_tokens=completion,
        context_tokens=context,
        rewrite_tokens=completion,
        mode="lazy",
        open_share=1.0,
    )
    how = Computing(
        sampler="generate" if on_gpu else "shared_prefix",
        packed=not on_gpu,
        skips_untrained=True,
        arithmetic="bfloat16" if on_gpu and machine.bfloat16 else "float32",
        weights="float32",
        checkpointing=on_gpu,
    )
    device = Device(
        machine.name,
        machine.memory_bytes,
        rates={},
        optimiser_s_per_parameter=0.0,
        is_cpu=not on_gpu,
        process_bytes=PROCESS_BYTES if on_gpu else CPU_PROCESS_BYTES,
    )
    return Setting(shape, work, how, device, max(1, len(machine.gpus)))
