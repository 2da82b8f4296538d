"""Work of sampling: prompts once, then token by token, for each of the samplers.

``shared_prefix`` computes a prompt once for all its completions, pads prompts to the longest of
their block, and lets finished rows leave. ``generate`` repeats prompts, keeps finished rows until
the last one ends, and copies the whole cache in every step. ``vllm`` shares the prompt's
computation, not the reading of its cache, and fills free places with waiting rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rephrase_rl.planning.setting import BYTES, FOUR_BIT_BYTES, Setting
from rephrase_rl.planning.work import Work, decode_work, forward_work

ROWS_AT_ONCE = 512
"""Rows that the shared-prefix sampler decodes together (a test compares it with the trainer's)."""
FINISHED_SHARE = 1 / 8
"""Finished rows leave once they are this share of the rows (a test compares it with the sampler's
rule); on average half of it is computed in vain."""
VLLM_ROWS_AT_ONCE = 256
"""vLLM's own default; fewer where their cache does not fit into its share of the memory."""
CACHE_COPIES = 3
"""``generate`` reads the cache, writes it one token longer, and reads it again to attend."""


class Ask(NamedTuple):
    """Completions wanted of prompts of one kind."""

    prompts: float
    copies: int
    prompt_tokens: float
    tokens: float
    longest_tokens: float

    @property
    def rows(self) -> float:
        """Completions."""
        return self.prompts * self.copies


class SamplingWork(NamedTuple):
    """Work of one call, and the tokens that it computes."""

    prefill: Work
    decode: Work
    prompt_tokens: float
    sampled_tokens: float

    def weighed(self, share: float, other: SamplingWork) -> SamplingWork:
        """The mean where this call is made in a share of the steps and another in the rest."""
        rest = 1.0 - share
        return SamplingWork(
            self.prefill * share + other.prefill * rest,
            self.decode * share + other.decode * rest,
            self.prompt_tokens * share + other.prompt_tokens * rest,
            self.sampled_tokens * share + other.sampled_tokens * rest,
        )


def sampling_work(setting: Setting, asks: Sequence[Ask]) -> SamplingWork:
    """Work of sampling all asked completions in one call.

    Args:
        setting: Model and sampler.
        asks: At least one; more where rewrites are sampled together with rollouts.
    """
    kinds = {"shared_prefix": _shared_prefix, "generate": _generate, "vllm": _vllm}
    return kinds[setting.how.sampler](setting, asks)


def _shared_prefix(setting: Setting, asks: Sequence[Ask]) -> SamplingWork:
    """Prompts with about as many completions as others are padded to the longest of them."""
    longest = max(ask.longest_tokens for ask in asks)
    chunks = math.ceil(sum(ask.rows for ask in asks) / ROWS_AT_ONCE)
    widths = {
        block_of(ask.copies): max(
            other.prompt_tokens for other in asks if block_of(other.copies) == block_of(ask.copies)
        )
        for ask in asks
    }
    prefill = Work()
    prompt_tokens = row_steps = kv_tokens = pairs = 0.0
    for ask in asks:
        width = widths[block_of(ask.copies)]
        prefill += _prefill(setting, ask.prompts, width, chunks / len(asks) * len(widths))
        prompt_tokens += ask.prompts * width
        row_steps += ask.rows * _steps_until_it_leaves(ask)
        kv_tokens += (longest - 1) * ask.prompts * width + ask.rows * ask.tokens**2 / 2
        pairs += ask.rows * (ask.tokens - 1) * (width + ask.tokens / 2)
    decode = _decode(
        setting,
        calls=chunks * (longest - 1),
        row_steps=row_steps,
        kv_tokens=kv_tokens,
        pairs=pairs,
    )
    return SamplingWork(prefill, decode, prompt_tokens, _sampled(asks))


def block_of(copies: int) -> int:
    """Prompts of one block are laid out together (a test compares it with the sampler's rule)."""
    return copies.bit_length()


def _steps_until_it_leaves(ask: Ask) -> float:
    lag = FINISHED_SHARE / 2 if ask.longest_tokens > ask.tokens else 0.0
    return (ask.tokens - 1) * (1.0 + lag)


def _generate(setting: Setting, asks: Sequence[Ask]) -> SamplingWork:
    width = max(ask.prompt_tokens for ask in asks)
    longest = max(ask.longest_tokens for ask in asks)
    rows = sum(ask.rows for ask in asks)
    pairs = rows * (longest - 1) * (width + longest / 2)
    decode = _decode(
        setting,
        calls=longest - 1,
        row_steps=rows * (longest - 1),
        kv_tokens=CACHE_COPIES * pairs,
        pairs=pairs,
    )
    return SamplingWork(_prefill(setting, rows, width, 1), decode, rows * width, _sampled(asks))


def _vllm(setting: Setting, asks: Sequence[Ask]) -> SamplingWork:
    longest = max(ask.longest_tokens for ask in asks)
    row_steps = sum(ask.rows * (ask.tokens - 1) for ask in asks)
    pairs = sum(ask.rows * (ask.tokens - 1) * (ask.prompt_tokens + ask.tokens / 2) for ask in asks)
    decode = _decode(
        setting,
        calls=max(longest - 1, row_steps / vllm_rows_at_once(setting, asks)),
        row_steps=row_steps,
        kv_tokens=pairs,
        pairs=pairs,
    )
    prefill = Work()
    for ask in asks:
        prefill += _prefill(setting, ask.prompts, ask.prompt_tokens, 1)
    tokens = sum(ask.prompts * ask.prompt_tokens for ask in asks)
    return SamplingWork(prefill, decode, tokens, _sampled(asks))


def vllm_rows_at_once(setting: Setting, asks: Sequence[Ask]) -> float:
    """Rows that vLLM decodes together: as many as its cache holds, at most its own limit.

    A row is on average half written. vLLM puts rows back where its cache is full; what that costs
    is not counted. At least one row, so that a share too small for the weights still has a figure.
    """
    shape, how = setting.shape, setting.how
    room = how.vllm_memory_share * setting.device.memory_bytes
    room -= shape.parameters * BYTES[how.arithmetic]
    rows = sum(ask.rows for ask in asks)
    tokens = sum(ask.rows * (ask.prompt_tokens + ask.tokens / 2) for ask in asks) / rows
    held = room / (tokens * shape.kv_bytes_per_token(kv_bytes(setting)))
    return min(float(VLLM_ROWS_AT_ONCE), max(1.0, held))


def _sampled(asks: Sequence[Ask]) -> float:
    return sum(ask.rows * ask.tokens for ask in asks)


def _prefill(setting: Setting, rows: float, width: float, calls: float) -> Work:
    return forward_work(
        setting.shape,
        rows=rows,
        length=width,
        scored=rows,
        calls=calls,
        bytes_per_number=BYTES[setting.how.arithmetic],
    )


def _decode(
    setting: Setting, *, calls: float, row_steps: float, kv_tokens: float, pairs: float
) -> Work:
    return decode_work(
        setting.shape,
        calls=calls,
        row_steps=row_steps,
        kv_tokens=kv_tokens,
        pairs=pairs,
        bytes_per_number=_weight_bytes(setting),
        kv_bytes_per_number=kv_bytes(setting),
    )


def _weight_bytes(setting: Setting) -> float:
    """Bytes of a weight that a step reads and writes.

    Around ``generate``, autocast ends with each step, so each step reads the weights as they are,
    writes their copies and reads those. Weights in 4 bits are unpacked likewise.
    """
    how = setting.how
    copy = BYTES[how.arithmetic]
    if how.four_bits:
        return FOUR_BIT_BYTES + 2 * copy
    if how.sampler == "generate" and how.weights != how.arithmetic:
        return BYTES[how.weights] + 2 * copy
    return copy


def kv_bytes(setting: Setting) -> int:
    """Bytes of a number in the cache; the shared-prefix sampler keeps float32 on CPUs."""
    if setting.device.is_cpu and setting.how.sampler == "shared_prefix":
        return BYTES["float32"]
    return BYTES[setting.how.arithmetic]
