"""Small settings for tests of plans; every number is chosen so that results can be done by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

from rephrase_rl.planning import Computing, Device, ModelShape, Setting, Workload
from rephrase_rl.planning.devices import Links, ProgramRates
from rephrase_rl.planning.published import Assumptions, published_device
from rephrase_rl.planning.work import Rates

TINY = ModelShape(
    "tiny",
    layers=2,
    hidden=8,
    heads=2,
    kv_heads=1,
    head_dim=4,
    intermediate=16,
    vocab=10,
    tied=True,
)
QWEN_7B = ModelShape("Qwen2.5-7B", 28, 3584, 28, 4, 128, 18944, 152064, tied=False, qkv_bias=True)
SMOLLM2 = ModelShape("SmolLM2-135M", 30, 576, 9, 3, 64, 1536, 49152, tied=True)

WORK = Workload(
    problems=8,
    group_size=8,
    rows_per_step=64,
    micro_batch_rows=16,
    prompt_tokens=100,
    completion_tokens=200,
    longest_completion_tokens=400,
    context_tokens=350,
    rewrite_tokens=200,
    mode="lazy",
    open_share=0.5,
    trained_share=0.5,
)

CPU_RATES = ProgramRates(
    score=Rates(5e-12, 7e-12, 5e-10, 1.8e-10, 0.0, 4e-9, 9e-4),
    forward=Rates(5e-12, 7e-12, 1e-9, 0.0, 0.0, 7e-9, 1.4e-3),
    backward=Rates(5e-12, 7e-12, 1.2e-9, 0.0, 0.0, 1.6e-8, 9e-4),
    decode=Rates(5e-12, 0.0, 0.0, 1.5e-10, 3e-10, 0.0, 4e-4),
)
"""About those of two cores of a server."""


def cpu(**changes: Any) -> Device:
    """A machine of about the tests' own speed."""
    fields: dict[str, Any] = {
        "name": "a CPU",
        "memory_bytes": 16e9,
        "rates": {"float32": CPU_RATES, "bfloat16": CPU_RATES},
        "optimiser_s_per_parameter": 1e-9,
        "is_cpu": True,
        "links": Links(1e9, 1e8),
    }
    return Device(**(fields | changes))


def setting(shape: ModelShape = SMOLLM2, **work: Any) -> Setting:
    """A step on a CPU; ``work`` changes the workload."""
    how = Computing("shared_prefix", True, True, "float32", "float32")
    return Setting(shape, dataclasses.replace(WORK, **work), how, cpu())


def gpu_setting(name: str = "h100-sxm", **how: Any) -> Setting:
    """A step of a 7B model on a GPU."""
    computing = Computing("generate", False, True, "bfloat16", "float32", checkpointing=True)
    computing = dataclasses.replace(computing, **how)
    device = published_device(name, computing.sampler, Assumptions())
    return Setting(QWEN_7B, WORK, computing, device)
