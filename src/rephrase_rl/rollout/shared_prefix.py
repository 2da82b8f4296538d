"""Sampling many continuations of each prompt with one pass over the prompt.

``model.generate`` with repeated prompts computes every copy of a prompt, copies all keys and values
in every step, decodes finished rows until the last one ends, and draws V random numbers per row and
step. Here a prompt is computed once, finished rows leave, and a token costs one random number. May
import torch and transformers; knows no tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import DynamicCache

from rephrase_rl.errors import EngineError
from rephrase_rl.rollout.prefix_attention import (
    SharedPrefixCache,
    shared_prefix_attention,
    why_not_shared_prefix,
)
from rephrase_rl.rollout.prefix_blocks import PrefixBlocks, block_of
from rephrase_rl.rollout.token_sampling import TokenSampling, drawing
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from rephrase_rl.rollout.engine import ProgressCallback

__all__ = ["SampledRow", "TokenSampling", "sample_shared_prefix", "why_not_shared_prefix"]

FinishedCallback = Callable[[int, int, tuple[int, ...]], None]
"""Called with (index of the prompt, copy, token ids) of a continuation that has ended."""

FINISHED_SHARE_TO_COMPACT = 1 / 8
"""Finished rows leave once they are this share of the rows in the batch.

A row that stays costs its share of every further step; leaving costs the others one copy of their
keys and values, about what attending costs once. In throw-away timings on a CPU shares from
1/16 to 1/4 took equally long, and never leaving took clearly longer.
"""


class SampledRow(NamedTuple):
    """One continuation of a prompt."""

    token_ids: tuple[int, ...]
    """Sampled tokens, the one that ended the row included."""
    logps: tuple[float, ...]
    """The model's own log-probability of each at ``logp_temperature``, before filters; nats."""


class _Row(NamedTuple):
    prompt: int
    copy: int


class _Asked(NamedTuple):
    """A prompt and the continuations wanted of it."""

    ids: tuple[int, ...]
    rows: list[_Row]


class _Chunk(NamedTuple):
    """What is decoded together, in blocks that are laid out apart."""

    blocks: list[list[_Asked]]

    @property
    def rows(self) -> list[_Row]:
        """All rows, block by block, prompt by prompt."""
        return [row for block in self.blocks for asked in block for row in asked.rows]


def sample_shared_prefix(
    model: Any,
    prompts: Sequence[Sequence[int]],
    copies: int | Sequence[int],
    sampling: TokenSampling,
    *,
    seed: int,
    max_rows: int,
    on_progress: ProgressCallback | None = None,
    on_finished: FinishedCallback | None = None,
) -> list[list[SampledRow]]:
    """Sample continuations from the same distribution as ``model.generate`` does.

    Prompts are sorted by length, longest first, and cut into chunks of at most ``max_rows`` rows; a
    chunk is padded on the left. Equal prompts are computed once per chunk. A prompt with more
    copies than ``max_rows`` is spread over several chunks.

    What is guaranteed: the same arguments, weights, thread count and machine give the same bits,
    and the global random state is neither read nor moved. The random number behind a token depends
    on ``seed``, the index of its prompt, its copy and its step only; so other prompts, more copies,
    a larger ``max_new_tokens`` or another ``max_rows`` leave a row as it is, except where rounding
    intervenes: a matrix product with other rows or other padding may round otherwise, and a random
    number that close to the boundary between two tokens then falls on the other side. That is rare
    in float32 and common in bfloat16.

    Gradients are not recorded. Whether prompt and continuation fit the model's context is for the
    caller to check.

    Args:
        model: In eval mode, and ``why_not_shared_prefix`` is None. Autocast and PEFT work.
        prompts: Token ids, at least one each.
        copies: Continuations of each prompt; one number for all, or one per prompt.
        sampling: How to sample.
        seed: Seed of the request.
        max_rows: Rows decoded at once.
        on_progress: Called after each chunk.
        on_finished: Called once for each continuation, for most while others are still sampled, so
            that what is done with it need not wait.

    Returns:
        For each prompt its continuations, in the order of ``prompts``.

    Raises:
        EngineError: The model is not supported or is in training mode, a prompt is empty, a number
            is out of range, or the model's logits are not finite.
    """
    counts = [copies] * len(prompts) if isinstance(copies, int) else list(copies)
    _check(model, prompts, counts, max_rows)
    found: dict[_Row, SampledRow] = {}
    with torch.no_grad():
        for chunk in _chunks(prompts, counts, max_rows):
            rows = _sample_chunk(model, chunk, sampling, seed, on_finished)
            found.update(zip(chunk.rows, rows, strict=True))
            if on_progress is not None:
                on_progress(len(found), sum(counts))
    return [
        [found[_Row(prompt, copy)] for copy in range(count)] for prompt, count in enumerate(counts)
    ]


def _check(
    model: Any, prompts: Sequence[Sequence[int]], counts: Sequence[int], max_rows: int
) -> None:
    reason = why_not_shared_prefix(model)
    if reason is not None:
        raise EngineError(f"{reason}, required: a model that can share prefixes; use `generate`")
    if model.training:
        # With gradient checkpointing, layers in training mode drop the cache without a word.
        raise EngineError("the model is in training mode, required: eval mode; call model.eval()")
    if max_rows < 1:
        raise EngineError(f"max_rows is {max_rows}, required: at least 1")
    if len(counts) != len(prompts) or any(count < 0 for count in counts):
        raise EngineError(
            f"copies is {counts}, required: a number >= 0 for each of the {len(prompts)} prompts"
        )
    empty = [index for index, ids in enumerate(prompts) if len(ids) == 0]
    if empty:
        raise EngineError(f"prompts {empty} have no tokens, required: at least one each")


def _chunks(
    prompts: Sequence[Sequence[int]], counts: Sequence[int], max_rows: int
) -> Iterator[_Chunk]:
    """Cut all rows into chunks of prompts of similar length."""
    rows_of: dict[tuple[int, ...], list[_Row]] = {}
    for index, ids in enumerate(prompts):
        rows = rows_of.setdefault(tuple(ids), [])
        rows.extend(_Row(index, copy) for copy in range(counts[index]))
    together: list[_Asked] = []
    free = max_rows
    for ids, rows in sorted(rows_of.items(), key=lambda item: -len(item[0])):
        # A prompt that would fit into a chunk of its own is not computed twice to fill this one.
        if together and len(rows) > free:
            yield _in_blocks(together)
            together, free = [], max_rows
        for start in range(0, len(rows), max_rows):
            if start:
                yield _in_blocks(together)
                together, free = [], max_rows
            together.append(_Asked(ids, rows[start : start + max_rows]))
            free -= len(together[-1].rows)
    if together:
        yield _in_blocks(together)


def _in_blocks(together: Sequence[_Asked]) -> _Chunk:
    blocks: dict[int, list[_Asked]] = {}
    for asked in together:
        blocks.setdefault(block_of(len(asked.rows)), []).append(asked)
    return _Chunk(list(blocks.values()))


def _sample_chunk(
    model: Any,
    chunk: _Chunk,
    sampling: TokenSampling,
    seed: int,
    on_finished: FinishedCallback | None,
) -> list[SampledRow]:
    """Sample the rows of one chunk, in the chunk's order."""
    device = model.device
    chunk_rows = chunk.rows
    steps, rows = sampling.max_new_tokens, len(chunk_rows)
    logits_BV, position_B, cache = _prefill(model, chunk, steps)
    uniform_TB = _uniforms(chunk_rows, steps, seed).to(device)
    eos_E = torch.tensor(sampling.eos_ids, dtype=torch.long, device=device)
    draw = drawing(sampling)

    tokens_TB = torch.zeros((steps, rows), dtype=torch.long, device=device)
    logps_TB = torch.zeros((steps, rows), dtype=torch.float32, device=device)
    row_B = torch.arange(rows, device=device)
    ended_B = torch.zeros(rows, dtype=torch.bool, device=device)

    def announce(numbers: list[int]) -> None:
        if on_finished is not None:
            for number, tokens in zip(
                numbers, tokens_TB[: step + 1, numbers].T.tolist(), strict=True
            ):
                length = _length(tokens, sampling.eos_ids)
                on_finished(*chunk_rows[number], tuple(tokens[:length]))

    with shared_prefix_attention(model):
        for step in range(steps):
            token_B, logp_B = draw(logits_BV, uniform_TB[step])
            tokens_TB[step].index_copy_(0, row_B, token_B)
            logps_TB[step].index_copy_(0, row_B, logp_B)
            ended_B = ended_B | torch.isin(token_B, eos_E)
            ended = int(ended_B.sum())
            if step + 1 == steps or ended == len(ended_B):
                break
            if ended >= len(ended_B) * FINISHED_SHARE_TO_COMPACT:
                announce(row_B[ended_B].tolist())
                kept_B = (~ended_B).nonzero().squeeze(1)
                cache.select_rows(kept_B.tolist())
                row_B, token_B, position_B, ended_B = (
                    x[kept_B] for x in (row_B, token_B, position_B, ended_B)
                )
                uniform_TB = uniform_TB[:, kept_B]
            cache.begin_step()
            logits_BV = model(
                input_ids=token_B[:, None],
                position_ids=(position_B + step)[:, None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                shared_prefix=cache,
            ).logits[:, -1]
    announce(row_B.tolist())
    return _finished_rows(tokens_TB[: step + 1], logps_TB[: step + 1], sampling.eos_ids)


def _prefill(
    model: Any, chunk: _Chunk, steps: int
) -> tuple[torch.Tensor, torch.Tensor, PrefixBlocks]:
    """Compute each prompt once.

    Returns:
        Logits (B, V) and position (B,) of the first new token of each row, and the rows' cache.
    """
    logits, positions, caches = [], [], []
    for block in chunk.blocks:
        counts = [len(asked.rows) for asked in block]
        row_prompts = [prompt for prompt, count in enumerate(counts) for _ in range(count)]
        logits_PV, cache = _prefill_block(model, [asked.ids for asked in block], row_prompts, steps)
        prompt_B = torch.tensor(row_prompts, device=model.device)
        lengths_P = torch.tensor([len(asked.ids) for asked in block], device=model.device)
        logits.append(logits_PV[prompt_B])
        positions.append(lengths_P[prompt_B])
        caches.append((cache, len(row_prompts)))
    return torch.cat(logits), torch.cat(positions), PrefixBlocks(caches)


def _prefill_block(
    model: Any, prompts: Sequence[tuple[int, ...]], row_prompts: Sequence[int], steps: int
) -> tuple[torch.Tensor, SharedPrefixCache]:
    """Compute prompts, padded to the longest: (P, V) logits of the next token, and the cache."""
    lengths = [len(ids) for ids in prompts]
    width = max(lengths)
    # Padding is masked, so any id will do.
    ids_PS = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in prompts])
    ids_PS = ids_PS.to(model.device)
    padding_P1 = torch.tensor([[width - length] for length in lengths], device=model.device)
    columns_S = torch.arange(width, device=model.device)
    padding_PS = columns_S < padding_P1
    ragged = min(lengths) < width
    prefilled = DynamicCache()
    logits_P1V = model(
        input_ids=ids_PS,
        attention_mask=(~padding_PS).long() if ragged else None,
        position_ids=(columns_S - padding_P1).clamp(min=0),
        past_key_values=prefilled,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    cache = SharedPrefixCache(
        prefilled, padding_PS if ragged else None, row_prompts, max(1, steps - 1)
    )
    return logits_P1V[:, -1], cache


def _uniforms(rows: Sequence[_Row], steps: int, seed: int) -> torch.Tensor:
    """Return (T, B) float64 numbers in [0, 1), on the CPU: for each row a stream of its own."""
    generator = torch.Generator()
    streams = []
    for prompt, copy in rows:
        generator.manual_seed(derive_seed(seed, "tokens", prompt, copy))
        streams.append(torch.rand(steps, dtype=torch.float64, generator=generator))
    return torch.stack(streams, dim=1)


def _finished_rows(
    tokens_TB: torch.Tensor, logps_TB: torch.Tensor, eos_ids: Sequence[int]
) -> list[SampledRow]:
    """Cut every row behind its end token."""
    found = []
    for tokens, logps in zip(tokens_TB.T.tolist(), logps_TB.T.tolist(), strict=True):
        length = _length(tokens, eos_ids)
        found.append(SampledRow(tuple(tokens[:length]), tuple(logps[:length])))
    if not all(math.isfinite(logp) for row in found for logp in row.logps):
        raise EngineError(
            "the model gave logits that are not finite, required: finite; check weights and dtype"
        )
    return found


def _length(tokens: Sequence[int], eos_ids: Sequence[int]) -> int:
    """Tokens up to the one that ends the row, itself included."""
    return next((i + 1 for i, token in enumerate(tokens) if token in eos_ids), len(tokens))
