"""Everything a plan depends on: model, work of one step, way of computing, device and number."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from rephrase_rl.planning.devices import Device
    from rephrase_rl.planning.shape import ModelShape

Sampler: TypeAlias = Literal["shared_prefix", "generate", "vllm"]
Mode: TypeAlias = Literal["none", "lazy", "eager", "anticipated"]
"""When candidates are sampled; ``none``: the method samples none (GRPO)."""
Number: TypeAlias = Literal["float32", "bfloat16"]
Sharding: TypeAlias = Literal["ddp", "fsdp"]

BYTES: dict[Number, int] = {"float32": 4, "bfloat16": 2}
FOUR_BIT_BYTES = 4.127 / 8
"""Of a weight in NF4 with its quantised constants (QLoRA, arXiv:2305.14314, section 3)."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What one optimiser step of all devices together has to do. Lengths are means, in tokens."""

    problems: float
    """Problems of one generation batch."""
    group_size: int
    rows_per_step: float
    """Rows of one optimiser step."""
    micro_batch_rows: int
    """Rows of one forward and backward pass on one device."""
    prompt_tokens: float
    completion_tokens: float
    longest_completion_tokens: float
    context_tokens: float
    """Tokens of P(q, k), the prompt of a rewrite."""
    rewrite_tokens: float
    mode: Mode = "none"
    open_share: float = 0.0
    """Share of the groups whose gate opens."""
    accepted_share: float = 1.0
    """Share of the open groups into which a candidate is injected, which then have spread."""
    trained_share: float = 1.0
    """Share of the groups that have spread, and so a gradient, without guidance."""
    candidates: int = 1
    samples_candidates: bool = True
    """Whether candidates are sampled; an expert's own text is not."""
    generations_per_step: float = 1.0
    """Generation batches for one optimiser step; below 1 where one serves several steps."""
    old_logps: bool = False
    """Whether log-probs of the sampling policy are computed by a pass of their own."""
    reference_logps: bool = False
    """Whether a reference policy scores every row (a KL term)."""
    expert_every: int = 0
    """Optimiser steps between measurements of the experts' texts. 0: never."""
    verify_s: float = 0.0
    """Seconds to judge one completion."""

    @property
    def completion_spread(self) -> float:
        """Standard deviation of the rollouts' lengths, from how far the longest is from the mean.

        The largest of n normal draws is about sqrt(2 ln n) deviations above their mean.
        """
        rows = max(2.0, self.problems * self.group_size)
        above = self.longest_completion_tokens - self.completion_tokens
        return above / math.sqrt(2.0 * math.log(rows))

    def longest_rewrite_tokens(self, rewrites: float) -> float:
        """The longest of some rewrites, whose lengths are spread as the completions' are.

        Where every token ends a row with the same probability, the longest of n rows is their mean
        length times 1 + 1/2 + ... + 1/n, about 1 + ln n.
        """
        spread = self.longest_completion_tokens / self.completion_tokens
        return self.rewrite_tokens * min(spread, 1.0 + math.log(max(1.0, rewrites)))

    def without_guidance(self) -> Workload:
        """The same step of plain GRPO."""
        return dataclasses.replace(self, mode="none", open_share=0.0)

    def guided(self, mode: Mode, open_share: float) -> Workload:
        """The same step with candidates in this mode and this share of open gates."""
        return dataclasses.replace(self, mode=mode, open_share=open_share)

    @property
    def gradient_share(self) -> float:
        """Share of the groups that have a gradient, after injection."""
        injected = 0.0 if self.mode == "none" else self.open_share * self.accepted_share
        return min(1.0, self.trained_share + injected)


@dataclass(frozen=True, slots=True)
class Computing:
    """How a step is computed: switches of TRL and of ``compute:``."""

    sampler: Sampler
    packed: bool
    """Rows [prompt; o_1; ...; o_m] with the prompt computed once."""
    skips_untrained: bool
    arithmetic: Number
    weights: Number
    checkpointing: bool = False
    lora_rank: int | None = None
    """Of adapters that are trained in the place of the weights. None: there are none."""
    lora_layers: tuple[str, ...] = ()
    """Matrices that have adapters; empty: all of every layer."""
    four_bits: bool = False
    """Whether the layers' matrices are held in 4 bits, as QLoRA has it."""
    sharding: Sharding = "ddp"
    vllm_memory_share: float = 0.3
    """Share of a device's memory that colocated vLLM takes for its weights and its cache."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One plan's input."""

    shape: ModelShape
    work: Workload
    how: Computing
    device: Device
    devices: int = 1

    @property
    def local_problems(self) -> float:
        """Problems of the busiest device in one generation batch; groups stay whole."""
        if self.work.problems < 1:
            return self.work.problems
        return math.ceil(self.work.problems / self.devices)

    @property
    def busy_devices(self) -> int:
        """Devices that have a problem to work on."""
        return min(self.devices, max(1, math.ceil(self.work.problems)))

    @property
    def local_rows_per_step(self) -> float:
        """Rows that the busiest device trains on in one optimiser step."""
        return self.work.rows_per_step * self.local_problems / self.work.problems

    @property
    def micro_batch_rows(self) -> float:
        """Rows of one pass on one device."""
        return min(self.work.micro_batch_rows, self.local_rows_per_step)

    @property
    def micro_batches(self) -> float:
        """Passes of one optimiser step on one device."""
        return math.ceil(self.local_rows_per_step / self.micro_batch_rows)

    @property
    def trained_parameters(self) -> int:
        """Parameters with a gradient, over all devices."""
        if self.how.lora_rank is None:
            return self.shape.parameters
        return self.shape.lora_parameters(self.how.lora_rank, self.how.lora_layers)

    @property
    def trained_bytes(self) -> int:
        """Bytes of the parameters with a gradient; as many are their gradients, twice the moments.

        PEFT keeps adapters in float32 beside weights in bfloat16, and TRL takes bfloat16 beside
        weights in 4 bits.
        """
        number = self.how.weights
        if self.how.lora_rank is not None:
            number = "bfloat16" if self.how.four_bits else "float32"
        return self.trained_parameters * BYTES[number]

    @property
    def frozen_and_trained_bytes(self) -> float:
        """Bytes of all weights, adapters included."""
        each = BYTES[self.how.weights]
        if self.how.lora_rank is None:
            return float(self.shape.parameters * each)
        quantised = self.shape.layers * self.shape.layer_matrix_parameters
        quantised = quantised if self.how.four_bits else 0
        rest = (self.shape.parameters - quantised) * each
        return rest + quantised * FOUR_BIT_BYTES + self.trained_bytes

    def with_work(self, work: Workload) -> Setting:
        """The same with another workload."""
        return dataclasses.replace(self, work=work)

    def with_how(self, **changes: object) -> Setting:
        """The same, computed otherwise."""
        return dataclasses.replace(self, how=dataclasses.replace(self.how, **changes))  # type: ignore[arg-type]

    def on(self, devices: int) -> Setting:
        """The same step split over another number of devices."""
        return dataclasses.replace(self, devices=devices)
