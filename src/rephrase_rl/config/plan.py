"""What ``rephrase-rl plan`` needs to know beyond the run itself; nothing else reads it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rephrase_rl.config.base import ConfigModel

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0)]
Tokens = Annotated[float, Field(gt=0.0)]


class ShapeConfig(ConfigModel):
    """Sizes of a dense decoder with a gated MLP, where no ``config.json`` can be read."""

    layers: Positive
    """Decoder layers."""
    hidden: Positive
    """Width of the residual stream."""
    heads: Positive
    """Query heads."""
    kv_heads: Positive | None = None
    """Key and value heads. null: as many as query heads."""
    head_dim: Positive | None = None
    """Width of a head. null: hidden divided by heads."""
    intermediate: Positive
    """Width of the MLP."""
    vocab: Positive
    """Vocabulary."""
    tied: bool = False
    """Whether the output projection is the embedding."""
    qkv_bias: bool = False
    """Whether queries, keys and values have biases."""


class PlanConfig(ConfigModel):
    """On what a run is planned to be trained, and what is expected of it."""

    device: str = "this"
    """this: the CPU of this machine, by its measured constants. Or a GPU by its maker's figures:
    h100-sxm, h200-sxm, a100-80gb-sxm, l40s, rtx-4090, mi300x."""
    devices: Positive = 1
    """Processes of the run, each on a device of its own. As in TRL the trainer's fields are those
    of one process, so a step has this many times as many rows."""
    devices_per_node: Positive = 8
    """Devices joined by the faster link."""
    sharding: Literal["ddp", "fsdp"] = "ddp"
    """ddp: every device holds everything. fsdp: weights, gradients and moments are split."""
    arithmetic: Literal["float32", "bfloat16"] | None = None
    """Number format of the products. null: as ``trainer.bf16`` says; by default bfloat16 on GPUs,
    float32 on CPUs."""
    lora_rank: Positive | None = None
    """Rank of adapters on every matrix, to try what they would cost. null: as ``model.lora``."""
    shape: ShapeConfig | None = None
    """Sizes of the model. null: those of ``model.path``."""
    prompt_tokens: Tokens | None = None
    """Mean tokens of a prompt. null: measured on the data."""
    completion_tokens: Tokens | None = None
    """Mean tokens of a rollout. null: those of the expert's texts, up to
    ``trainer.max_completion_length``."""
    longest_completion_tokens: Tokens | None = None
    """Tokens of a batch's longest rollout. null: ``trainer.max_completion_length``."""
    context_tokens: Tokens | None = None
    """Mean tokens of P(q, k), the prompt of a rewrite. null: measured on the data."""
    rewrite_tokens: Tokens | None = None
    """Mean tokens of a rewrite. null: as ``completion_tokens``."""
    expected_open_share: Share | None = None
    """Share of the groups whose gate opens. null: from the data's pass rates where it has them,
    else 0.3."""
    expected_accepted_share: Share = 1.0
    """Share of the open gates into whose group a candidate is injected; 1 is the dearest case."""
    expected_trained_share: Share | None = None
    """Share of the groups that have a gradient without guidance. null: those whose gate stays
    closed."""
    verify_s: Annotated[float, Field(ge=0.0)] | None = None
    """Seconds to judge one completion, over all worker processes. null: as measured on this machine
    for the verifiers exact and math, 0 for others."""
    sample: Count = 256
    """Problems whose prompts are measured. 0: none; the lengths have to be given."""
    training_fraction: Fraction | None = None
    """Fraction of a GPU's peak in training. null: 0.4."""
    decode_fraction: Fraction | None = None
    """Fraction of a GPU's memory bandwidth in decoding. null: 0.6."""
    link_gb_s: Rate | None = None
    """Gigabytes a second between devices of a node, one direction. null: the maker's figure."""
    network_gb_s: Rate | None = None
    """Gigabytes a second between nodes, for each device. null: 50."""
