"""Seconds that devices spend exchanging gradients and weights; nothing overlaps with computing.

A ring over n devices moves 2 (n - 1) / n of the bytes for an all-reduce and (n - 1) / n for an
all-gather or a reduce-scatter, and takes as many hops as it has devices. Libraries switch to trees
for small messages at many devices, and FSDP fetches the next layer while one is computed: both make
it faster than said here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.planning.setting import BYTES, Setting

if TYPE_CHECKING:
    from rephrase_rl.planning.devices import Links


def all_reduce_s(total_bytes: float, devices: int, links: Links) -> float:
    """Seconds until every device has the sum."""
    return 2.0 * all_gather_s(total_bytes, devices, links)


def all_gather_s(total_bytes: float, devices: int, links: Links) -> float:
    """Seconds until every device has all parts; a reduce-scatter takes as long."""
    if devices == 1:
        return 0.0
    moved = (devices - 1) / devices * total_bytes / links.bandwidth(devices)
    return moved + (devices - 1) * links.latency_s


def exchanged_s(setting: Setting, decode_calls: float) -> float:
    """Seconds of communication in one optimiser step.

    ``ddp``: gradients are summed once, in the weights' number format. ``fsdp``: every pass fetches
    the layers one by one, the backward pass once more, and gradients are scattered; ``generate``
    fetches them for every token (TRL gathers no more than the root module before), vLLM is sent
    the weights once.

    Args:
        setting: What is planned.
        decode_calls: Calls of the model that sampling makes.
    """
    devices, links = setting.devices, setting.device.links
    if devices == 1 or links is None:
        return 0.0
    gradient_bytes = setting.trained_bytes
    if setting.how.sharding == "ddp":
        return all_reduce_s(gradient_bytes, devices, links)
    shape, work = setting.shape, setting.work
    each_layer = shape.parameters * BYTES[setting.how.arithmetic] / shape.layers
    fetch = shape.layers * all_gather_s(each_layer, devices, links)
    scatter = shape.layers * all_gather_s(gradient_bytes / shape.layers, devices, links)
    scoring = work.generations_per_step * (work.old_logps + work.reference_logps)
    fetches = setting.micro_batches * (2.0 + scoring)
    fetches += work.generations_per_step if setting.how.sampler == "vllm" else decode_calls
    return fetches * fetch + setting.micro_batches * scatter
