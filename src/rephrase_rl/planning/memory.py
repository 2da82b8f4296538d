"""Memory of the busiest device: what it always holds, and what sampling and training add.

The two never overlap: gradients and activations are gone while the next completions are sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.planning.phases import joins_rollouts, training_batch
from rephrase_rl.planning.sampling import ROWS_AT_ONCE, kv_bytes
from rephrase_rl.planning.setting import BYTES, Setting

if TYPE_CHECKING:
    from rephrase_rl.planning.shape import ModelShape

USABLE = 0.95
"""Share of a device's memory that allocators make use of; an assumption."""
HEAD_ROWS, HEAD_COLUMNS = 4096, 32768
"""Tile in which TRL's fused head computes logits."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by purpose."""

    held: dict[str, float]
    """Throughout the run."""
    training: dict[str, float]
    """During forward and backward pass, beside what is held."""
    sampling: dict[str, float]
    """While completions are sampled, beside what is held."""
    available: float
    """Bytes of the device that can be used."""

    @property
    def peak(self) -> float:
        """Largest need."""
        more = max(sum(self.training.values()), sum(self.sampling.values()))
        return sum(self.held.values()) + more

    @property
    def fits(self) -> bool:
        """Whether the largest need is there."""
        return self.peak <= self.available


def device_memory(setting: Setting) -> Memory:
    """Memory that the setting needs on its busiest device."""
    how, shape = setting.how, setting.shape
    shards = setting.devices if how.sharding == "fsdp" else 1
    held = {
        "libraries": setting.device.process_bytes,
        "weights": setting.frozen_and_trained_bytes / shards,
        "optimiser": 2 * setting.trained_bytes / shards,
    }
    if setting.work.reference_logps and how.lora_rank is None:
        held["reference policy"] = shape.parameters * BYTES[how.weights] / shards
    if how.sampler == "vllm":
        # Taken once and kept while training: sleeping is refused where guidance is on.
        held["vLLM's weights and cache"] = _vllm_bytes(setting)
    return Memory(
        held=held,
        training=_training(setting, setting.trained_bytes / shards),
        sampling=_sampling(setting),
        available=setting.device.memory_bytes * USABLE,
    )


def activation_bytes(shape: ModelShape, tokens: float, arithmetic: str, packed: bool) -> float:
    """Bytes that one layer keeps for the backward pass.

    Counted on transformers' Llama: of each norm input, normalised input and output; queries, keys,
    values and output of attention (keys and values of all query heads where a mask of its own is
    used); gate, its activation, up, and their product. Under autocast norms stay float32 and the
    rest is halved. A test compares this with what autograd keeps.
    """
    keys = shape.query_width if packed else shape.kv_width
    attention = 2 * shape.query_width + 2 * keys
    if arithmetic == "float32":
        return tokens * 4.0 * (6 * shape.hidden + attention + 4 * shape.intermediate)
    return tokens * (26.0 * shape.hidden + 2.0 * attention + 8.0 * shape.intermediate)


def _training(setting: Setting, gradient_bytes: float) -> dict[str, float]:
    how, shape = setting.how, setting.shape
    batch, completions = training_batch(setting)
    one_layer = activation_bytes(shape, batch.tokens, how.arithmetic, how.packed)
    kept = shape.layers * one_layer
    if how.checkpointing:
        kept = one_layer + shape.layers * batch.tokens * shape.hidden * 4.0
    if how.packed:
        kept += batch.rows * batch.length**2 * BYTES[how.arithmetic]
    scored = completions * setting.work.completion_tokens
    # Without Triton a tile is worked on in float32: scaled, exponentiated, multiplied.
    each = BYTES[how.arithmetic] + (12 if setting.device.is_cpu else 0)
    logits = min(scored, HEAD_ROWS) * min(shape.vocab, HEAD_COLUMNS) * each
    needs = {"gradients": gradient_bytes, "activations": kept, "logits": logits}
    return needs | _casts(setting) | _gathered(setting)


def _gathered(setting: Setting) -> dict[str, float]:
    """Of split weights, the layer that is computed and the next one."""
    if setting.how.sharding == "ddp" or setting.devices == 1:
        return {}
    largest = max(setting.shape.layer_parameters, setting.shape.head_parameters)
    return {"gathered layers": 2.0 * largest * BYTES[setting.how.arithmetic]}


def _casts(setting: Setting) -> dict[str, float]:
    """Autocast's copies of the weights; of weights in 4 bits, the matrix in use."""
    shape, how = setting.shape, setting.how
    if how.four_bits:
        largest = max(a * b for a, b in shape.matrices.values())
        head = shape.head_parameters if how.arithmetic != how.weights else 0
        return {"copies of weights": float((largest + head) * BYTES[how.arithmetic])}
    if how.arithmetic == how.weights:
        return {}
    shards = setting.devices if setting.how.sharding == "fsdp" else 1
    copies = setting.shape.matrix_parameters * BYTES[setting.how.arithmetic] / shards
    return {"copies of weights": copies}


def _sampling(setting: Setting) -> dict[str, float]:
    work, how, shape = setting.work, setting.how, setting.shape
    if how.sampler == "vllm":
        return {}
    rows = setting.local_problems * work.group_size
    prompts = setting.local_problems
    width = work.prompt_tokens
    if joins_rollouts(setting) and work.open_share > 0:
        prompts += prompts * work.open_share
        width = max(width, work.context_tokens)
    together = ROWS_AT_ONCE if how.sampler == "shared_prefix" else rows
    share = min(1.0, together / rows)
    rows *= share
    prefixes = prompts * share if how.sampler == "shared_prefix" else rows
    cached = prefixes * width + rows * work.longest_completion_tokens
    needs = {
        "keys and values": cached * shape.kv_bytes_per_token(kv_bytes(setting)),
        "logits": rows * shape.vocab * (8.0 + BYTES[how.arithmetic]),
    }
    return needs | _casts(setting) | _gathered(setting)


def _vllm_bytes(setting: Setting) -> float:
    """VLLM's share of the device, or what it needs to hold its weights and one row."""
    work, how, shape = setting.work, setting.how, setting.shape
    row = max(work.prompt_tokens, work.context_tokens) + work.longest_completion_tokens
    least = float(shape.parameters * BYTES[how.arithmetic])
    least += row * shape.kv_bytes_per_token(kv_bytes(setting))
    return max(how.vllm_memory_share * setting.device.memory_bytes, least)
