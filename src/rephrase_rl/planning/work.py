"""Work counted in six units, and the seconds that a device takes for each unit.

Every phase of a step is a count of work; every device is a list of seconds per unit; time is their
scalar product. The sum, not the largest of the terms: on the CPUs where it was fitted the terms do
not overlap, and on a GPU the sum errs on the slow side.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rephrase_rl.planning.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done; all fields are counts and add up."""

    matmul_flops: float = 0.0
    """Floating-point operations of products with weights."""
    attention_flops: float = 0.0
    """Floating-point operations of scores and weighted values, at the pairs that are computed."""
    element_passes: float = 0.0
    """Numbers that norms, rotary embeddings, activations and residuals read and write."""
    weight_bytes: float = 0.0
    """Bytes of weights read, once for each call of the model."""
    kv_bytes: float = 0.0
    """Bytes of cached keys and values read."""
    logits: float = 0.0
    """Positions scored or sampled from, times vocabulary."""
    layer_calls: float = 0.0
    """Calls of the model, times layers."""

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(self.amounts(), other.amounts(), strict=True)))

    def __mul__(self, factor: float) -> Work:
        return Work(*(amount * factor for amount in self.amounts()))

    def amounts(self) -> tuple[float, ...]:
        """All counts, in the order of ``UNITS``."""
        return tuple(getattr(self, name) for name in UNITS)


UNITS: tuple[str, ...] = tuple(field.name for field in fields(Work))
"""Names of the counts; rates have the same names."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds for one unit of each kind of work."""

    matmul_flops: float = 0.0
    attention_flops: float = 0.0
    element_passes: float = 0.0
    weight_bytes: float = 0.0
    kv_bytes: float = 0.0
    logits: float = 0.0
    layer_calls: float = 0.0

    def seconds(self, work: Work) -> float:
        """Time for an amount of work."""
        prices = (getattr(self, name) for name in UNITS)
        return sum(p * amount for p, amount in zip(prices, work.amounts(), strict=True))


def forward_work(
    shape: ModelShape,
    *,
    rows: float,
    length: float,
    scored: float,
    calls: float,
    bytes_per_number: float,
    seen_share: float = 0.5,
) -> Work:
    """One pass over whole rows: a prompt's prefill, log-probs, or the forward half of training.

    Args:
        shape: The model.
        rows: Rows, over all calls.
        length: Tokens of each row.
        scored: Positions that go through the vocabulary projection, over all calls.
        calls: Calls of the model that the rows are spread over.
        bytes_per_number: Of the arithmetic: 4 or 2.
        seen_share: Share of the pairs of tokens for which attention is computed: 0.5 where a causal
            kernel skips the rest, 1 where a mask of its own hides pairs.
    """
    tokens, layers = rows * length, shape.layers
    passes = 12 * shape.hidden + 5 * (shape.query_width + shape.kv_width) + 3 * shape.intermediate
    return Work(
        matmul_flops=2.0 * tokens * layers * shape.layer_matrix_parameters
        + 2.0 * scored * shape.head_parameters,
        attention_flops=4.0 * layers * shape.query_width * rows * length**2 * seen_share,
        element_passes=tokens * layers * passes,
        weight_bytes=calls * shape.matrix_parameters * bytes_per_number,
        logits=scored * shape.vocab,
        layer_calls=calls * layers,
    )


def backward_work(shape: ModelShape, forward: Work, scored: float, trained_share: float) -> Work:
    """The backward pass of ``forward_work``.

    Each product has two in its place, for the gradient of its input and of its weights. TRL's fused
    head computes the logits again, hence three. Attention kernels compute the scores again: 2.5.

    Args:
        shape: The model.
        forward: The forward half.
        scored: Positions that went through the vocabulary projection.
        trained_share: Share of the parameters that has a gradient; small for adapters.
    """
    head = 2.0 * scored * shape.head_parameters
    layers = forward.matmul_flops - head
    return Work(
        matmul_flops=(1.0 + trained_share) * layers + (2.0 + trained_share) * head,
        attention_flops=2.5 * forward.attention_flops,
        element_passes=forward.element_passes,
        weight_bytes=forward.weight_bytes,
        logits=forward.logits,
        layer_calls=forward.layer_calls,
    )


def decode_work(
    shape: ModelShape,
    *,
    calls: float,
    row_steps: float,
    kv_tokens: float,
    pairs: float,
    bytes_per_number: float,
    kv_bytes_per_number: int,
) -> Work:
    """Token by token: every call reads all weights and computes one token for each row.

    Args:
        shape: The model.
        calls: Calls of the model.
        row_steps: Tokens computed, over all rows and calls.
        kv_tokens: Tokens whose keys and values are read, over all calls; a shared prefix counts
            once for each call.
        pairs: Pairs of a computed token and one that it sees.
        bytes_per_number: Of the weights as they are read.
        kv_bytes_per_number: Of the cache.
    """
    whole = forward_work(
        shape,
        rows=row_steps,
        length=1,
        scored=row_steps,
        calls=calls,
        bytes_per_number=bytes_per_number,
        seen_share=0.0,
    )
    return whole + Work(
        attention_flops=4.0 * shape.layers * shape.query_width * pairs,
        kv_bytes=kv_tokens * shape.kv_bytes_per_token(kv_bytes_per_number),
    )
