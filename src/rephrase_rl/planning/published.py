"""GPUs by their makers' figures, and the assumed fractions of them that a training step reaches.

Nothing here was measured by this project. A makers' peak is never reached; which fraction is, is an
assumption that a configuration can change (``plan.training_fraction``, ``plan.decode_fraction``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rephrase_rl.errors import ConfigError
from rephrase_rl.planning.devices import Device, Fact, Links, Origin, ProgramRates
from rephrase_rl.planning.work import Rates


@dataclass(frozen=True, slots=True)
class PublishedGpu:
    """A maker's figures; floating-point operations dense, without sparsity."""

    title: str
    memory_gb: float
    bfloat16_tflops: float
    float32_tflops: float
    """Without tensor cores: torch's default precision of float32 products."""
    memory_gb_s: float
    link_gb_s: float
    """To the other devices of a node, one direction."""
    source: str


PUBLISHED: Mapping[str, PublishedGpu] = {
    "h100-sxm": PublishedGpu(
        "NVIDIA H100 SXM", 80, 989.4, 66.9, 3350, 450, "https://www.nvidia.com/en-us/data-center/h100/"
    ),
    "h200-sxm": PublishedGpu(
        "NVIDIA H200 SXM", 141, 989.4, 66.9, 4800, 450, "https://www.nvidia.com/en-us/data-center/h200/"
    ),
    "a100-80gb-sxm": PublishedGpu(
        "NVIDIA A100 80GB SXM", 80, 312, 19.5, 2039, 300,
        "https://www.nvidia.com/en-us/data-center/a100/",
    ),
    "l40s": PublishedGpu(
        "NVIDIA L40S", 48, 362.05, 91.6, 864, 32, "https://www.nvidia.com/en-us/data-center/l40s/"
    ),
    "rtx-4090": PublishedGpu(
        "NVIDIA GeForce RTX 4090", 24, 165.2, 82.6, 1008, 32,
        "https://www.nvidia.com/en-us/geforce/graphics-cards/40-series/rtx-4090/",
    ),
    "mi300x": PublishedGpu(
        "AMD Instinct MI300X", 192, 1307.4, 163.4, 5300, 448,
        "https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html",
    ),
}  # fmt: skip
"""Name in a configuration -> figures."""

TRAINING_FRACTION = 0.4
"""Of the peak in forward and backward passes, all kernels included. Published runs of 7B models on
H100 and A100 reach 0.3 to 0.55; short rows and padding stay below."""
DECODE_FRACTION = 0.6
"""Of the memory bandwidth while decoding."""
EAGER_LAYER_S = 1.0e-3
"""Seconds a layer and token of eager decoding, whatever its width: the processor cannot launch
kernels faster. PyTorch's baseline of 25.5 tokens/s for 32 layers of Llama-7B on an A100 leaves
1.0 ms after its weights are read (https://pytorch.org/blog/accelerating-generative-ai-2/)."""
GRAPH_LAYER_S = 2.0e-5
"""The same where kernels are launched as one graph, as vLLM does."""
PASS_LAYER_S = 3.0e-4
"""Seconds a layer of a pass over whole rows costs at least, forward or backward."""
LINK_FRACTION = 0.7
"""Of the links' bandwidth in collectives."""
NETWORK_GB_S = 50.0
"""Between nodes, for each device: one 400 Gb/s port each."""
OPTIMISER_BYTES = 36
"""Read and written for each parameter: AdamW's weight, gradient and two moments in float32 (28),
the gradient once more for its norm and once more to clear it."""
PROCESS_BYTES = 1.5e9
"""Memory that CUDA and its libraries take on the device."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a configuration can say otherwise; None: the values above."""

    training_fraction: float | None = None
    decode_fraction: float | None = None
    link_gb_s: float | None = None
    network_gb_s: float | None = None
    devices_per_node: int = 8


def published_device(name: str, sampler: str, said: Assumptions) -> Device:
    """A GPU by its published figures.

    Args:
        name: Key of ``PUBLISHED``.
        sampler: ``vllm``, whose kernels are launched as graphs, or another.
        said: The configuration's own values.

    Raises:
        ConfigError: The name is not known.
    """
    gpu = PUBLISHED.get(name)
    if gpu is None:
        raise ConfigError(
            f"plan.device: found {name!r}; required: this (this machine's CPU), or one of "
            f"{', '.join(PUBLISHED)}; do this: name one of them"
        )
    training = said.training_fraction or TRAINING_FRACTION
    decode = said.decode_fraction or DECODE_FRACTION
    bandwidth = gpu.memory_gb_s * 1e9 * decode
    layer_s = GRAPH_LAYER_S if sampler == "vllm" else EAGER_LAYER_S
    peaks = {"float32": gpu.float32_tflops * 1e12, "bfloat16": gpu.bfloat16_tflops * 1e12}
    link = said.link_gb_s or gpu.link_gb_s
    network = said.network_gb_s or min(NETWORK_GB_S, link)
    return Device(
        name=gpu.title,
        memory_bytes=gpu.memory_gb * 1e9,
        rates={n: _rates(peak * training, bandwidth, layer_s) for n, peak in peaks.items()},
        optimiser_s_per_parameter=OPTIMISER_BYTES / bandwidth,
        is_cpu=False,
        links=Links(
            within_node=link * 1e9 * LINK_FRACTION,
            between_nodes=network * 1e9 * LINK_FRACTION,
            devices_per_node=said.devices_per_node,
        ),
        process_bytes=PROCESS_BYTES,
        facts=_facts(gpu, said, (training, decode, layer_s, network)),
    )


def _rates(flops: float, bandwidth: float, decode_layer_s: float) -> ProgramRates:
    whole_rows = Rates(matmul_flops=1 / flops, attention_flops=1 / flops, layer_calls=PASS_LAYER_S)
    decode = Rates(
        matmul_flops=1 / flops,
        attention_flops=1 / flops,
        weight_bytes=1 / bandwidth,
        kv_bytes=1 / bandwidth,
        layer_calls=decode_layer_s,
    )
    return ProgramRates(score=whole_rows, forward=whole_rows, backward=whole_rows, decode=decode)


def _facts(
    gpu: PublishedGpu, said: Assumptions, used: tuple[float, float, float, float]
) -> tuple[Fact, ...]:
    training, decode, layer_s, network = used

    def either(given: float | None) -> tuple[Origin, str]:
        return ("assumed", "planning/published.py") if given is None else ("configured", "plan")

    return (
        Fact("memory", f"{gpu.memory_gb:g} GB", "published", gpu.source),
        Fact("peak in bfloat16", f"{gpu.bfloat16_tflops:g} TFLOP/s", "published", gpu.source),
        Fact("peak in float32", f"{gpu.float32_tflops:g} TFLOP/s", "published", gpu.source),
        Fact("memory bandwidth", f"{gpu.memory_gb_s:g} GB/s", "published", gpu.source),
        Fact("fraction of peak", f"{training:g}", *either(said.training_fraction)),
        Fact("fraction of bandwidth", f"{decode:g}", *either(said.decode_fraction)),
        Fact("decoding, a layer and token", f"{layer_s * 1e3:g} ms", "assumed", "published.py"),
        Fact("a pass, a layer", f"{PASS_LAYER_S * 1e3:g} ms", "assumed", "planning/published.py"),
        Fact(
            "link within a node",
            f"{said.link_gb_s or gpu.link_gb_s:g} GB/s",
            *(("published", gpu.source) if said.link_gb_s is None else ("configured", "plan")),
        ),
        Fact("network between nodes", f"{network:g} GB/s", *either(said.network_gb_s)),
        Fact("fraction of links", f"{LINK_FRACTION:g}", "assumed", "planning/published.py"),
    )
