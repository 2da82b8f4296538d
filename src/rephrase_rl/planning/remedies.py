"""What would make a setting fit that does not: each change is planned for, not guessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.planning.memory import device_memory
from rephrase_rl.planning.phases import step_seconds

if TYPE_CHECKING:
    from rephrase_rl.planning.setting import Sampler, Setting

LORA_RANK = 16
DEVICE_COUNTS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change with which the setting fits."""

    change: str
    """In the words of the configuration."""
    peak_bytes: float
    step_s: float


def remedies(setting: Setting) -> list[Remedy]:
    """Changes that make it fit, the smallest first; empty where it fits or none is enough."""
    if device_memory(setting).fits:
        return []
    found = []
    for change, changed in _changes(setting):
        memory = device_memory(changed)
        if memory.fits:
            found.append(Remedy(change, memory.peak, step_seconds(changed)))
    return found


def _changes(setting: Setting) -> Iterator[tuple[str, Setting]]:
    """Single changes, then combined ones."""
    yield from _smaller_micro_batch(setting, "")
    if not setting.how.checkpointing:
        yield "trainer.gradient_checkpointing: true", setting.with_how(checkpointing=True)
    lean = setting.with_how(checkpointing=True)
    lean = lean.with_work(dataclasses.replace(lean.work, micro_batch_rows=1))
    lean_name = "gradient checkpointing and micro-batches of 1 row"
    yield lean_name, lean
    if setting.how.lora_rank is None:
        yield (
            f"adapters of rank {LORA_RANK} (model.lora), {lean_name}",
            lean.with_how(lora_rank=LORA_RANK),
        )
    yield from _four_bits(lean, lean_name)
    yield from _sharded(setting, "")
    yield from _sharded(lean, f", {lean_name}")
    if setting.how.weights == "float32":
        yield (
            f"model.dtype: bfloat16 (steps of 1e-6 are lost to rounding), {lean_name}",
            lean.with_how(weights="bfloat16"),
        )


def _four_bits(lean: Setting, lean_name: str) -> Iterator[tuple[str, Setting]]:
    """Adapters on weights in 4 bits; not on CPUs, and vLLM does not take such weights from TRL."""
    if lean.how.four_bits or lean.device.is_cpu:
        return
    sampler: Sampler = "generate" if lean.how.sampler == "vllm" else lean.how.sampler
    without = ", trainer.use_vllm: false" if sampler != lean.how.sampler else ""
    yield (
        f"adapters on weights in 4 bits (model.lora, model.load_in_4bit{without}), {lean_name}",
        lean.with_how(lora_rank=lean.how.lora_rank or LORA_RANK, four_bits=True, sampler=sampler),
    )


def _smaller_micro_batch(setting: Setting, suffix: str) -> Iterator[tuple[str, Setting]]:
    """The largest smaller micro-batch that fits."""
    rows = int(setting.micro_batch_rows) // 2
    while rows >= 1:
        work = dataclasses.replace(setting.work, micro_batch_rows=rows)
        smaller = setting.with_work(work)
        if device_memory(smaller).fits or rows == 1:
            accumulation = round(setting.local_rows_per_step / rows)
            yield (
                f"trainer.per_device_train_batch_size: {rows}, "
                f"trainer.gradient_accumulation_steps: {accumulation}{suffix}",
                smaller,
            )
            return
        rows //= 2


def _sharded(setting: Setting, suffix: str) -> Iterator[tuple[str, Setting]]:
    """The smallest number of devices over which the sharded setting fits."""
    if setting.device.links is None:
        return
    for devices in DEVICE_COUNTS:
        if devices <= setting.devices and setting.how.sharding == "fsdp":
            continue
        sharded = setting.with_how(sharding="fsdp").on(max(devices, setting.devices))
        if sharded.how.sampler == "shared_prefix":  # which split weights do not allow
            sharded = sharded.with_how(sampler="generate")
        if device_memory(sharded).fits:
            accumulation = round(sharded.local_rows_per_step / sharded.micro_batch_rows)
            same_step = f", trainer.gradient_accumulation_steps: {accumulation}"
            split = same_step if sharded.devices != setting.devices else ""
            yield f"plan.sharding: fsdp over {sharded.devices} devices{split}{suffix}", sharded
            return
