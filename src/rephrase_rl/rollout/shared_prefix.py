"""Sampling many continuations of each prompt with one pass over the prompt.

``model.generate`` with repeated prompts computes every copy of a prompt, copies all keys and values
in every step, decodes finished rows until the last one ends, and draws V random numbers per row and
step. Here a prompt is computed once, finished rows leave, and a token costs one random number. May
import torch and transformers; knows no tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import (
    DynamicCache,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rephrase_rl.errors import EngineError
from rephrase_rl.rollout.prefix_attention import (
    SharedPrefixCache,
    shared_prefix_attention,
    why_not_shared_prefix,
)
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from rephrase_rl.rollout.engine import ProgressCallback

__all__ = ["SampledRow", "TokenSampling", "sample_shared_prefix", "why_not_shared_prefix"]

_Draw = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

FINISHED_SHARE_TO_COMPACT = 1 / 8
"""Finished rows leave once they are this share of the rows in the batch.

A row that stays costs its share of every further step; leaving costs the others one copy of their
keys and values, about what attending costs once. In throw-away timings on a CPU shares from
1/16 to 1/4 took equally long, and never leaving took clearly longer.
"""

BLOCK = 256
"""Tokens per block of the two-level inverse of the distribution function."""


@dataclass(frozen=True, slots=True)
class TokenSampling:
    """How tokens are drawn and when a row ends; the model's own defaults have no say.

    Raises:
        EngineError: A value is out of range.
    """

    max_new_tokens: int
    """Tokens after which a row is cut off."""
    eos_ids: tuple[int, ...] = ()
    """Tokens that end a row."""
    temperature: float = 1.0
    """Divides the logits; 0 is greedy decoding, and the filters have no effect."""
    top_p: float = 1.0
    """Keeps the fewest tokens that hold this probability; 1 keeps all."""
    top_k: int = 0
    """Keeps this many of the most probable tokens; 0 keeps all."""
    min_p: float | None = None
    """Keeps tokens with at least this share of the highest probability; None keeps all."""
    logp_temperature: float = 1.0
    """Divides the logits for ``SampledRow.logps``, and for nothing else."""

    def __post_init__(self) -> None:
        faults = []
        if self.max_new_tokens < 1:
            faults.append(f"max_new_tokens is {self.max_new_tokens}, required: at least 1")
        if not 0 <= self.temperature < float("inf"):
            faults.append(f"temperature is {self.temperature}, required: 0 (greedy) or positive")
        if not 0 < self.top_p <= 1:
            faults.append(f"top_p is {self.top_p}, required: in (0, 1]")
        if self.top_k < 0:
            faults.append(f"top_k is {self.top_k}, required: 0 (off) or positive")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            faults.append(f"min_p is {self.min_p}, required: in [0, 1] or None")
        if not 0 < self.logp_temperature < float("inf"):
            faults.append(f"logp_temperature is {self.logp_temperature}, required: positive")
        if faults:
            raise EngineError("; ".join(faults))


class SampledRow(NamedTuple):
    """One continuation of a prompt."""

    token_ids: tuple[int, ...]
    """Sampled tokens, the one that ended the row included."""
    logps: tuple[float, ...]
    """The model's own log-probability of each at ``logp_temperature``, before filters; nats."""


class _Row(NamedTuple):
    prompt: int
    copy: int


class _Chunk(NamedTuple):
    """Rows that are decoded together, grouped by prompt."""

    prompts: list[tuple[int, ...]]
    """Distinct token ids."""
    rows: list[_Row]
    row_prompts: list[int]
    """Index into ``prompts`` for each row, ascending."""


def sample_shared_prefix(
    model: Any,
    prompts: Sequence[Sequence[int]],
    copies: int | Sequence[int],
    sampling: TokenSampling,
    *,
    seed: int,
    max_rows: int,
    on_progress: ProgressCallback | None = None,
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
            found.update(zip(chunk.rows, _sample_chunk(model, chunk, sampling, seed), strict=True))
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
    chunk = _Chunk([], [], [])
    for ids, rows in sorted(rows_of.items(), key=lambda item: -len(item[0])):
        # A prompt that would fit into a chunk of its own is not computed twice to fill this one.
        if chunk.rows and len(chunk.rows) + len(rows) > max_rows:
            yield chunk
            chunk = _Chunk([], [], [])
        for start in range(0, len(rows), max_rows):
            part = rows[start : start + max_rows]
            if start:
                yield chunk
                chunk = _Chunk([], [], [])
            chunk.row_prompts.extend([len(chunk.prompts)] * len(part))
            chunk.prompts.append(ids)
            chunk.rows.extend(part)
    if chunk.rows:
        yield chunk


def _sample_chunk(
    model: Any, chunk: _Chunk, sampling: TokenSampling, seed: int
) -> list[SampledRow]:
    """Sample the rows of one chunk, in the chunk's order."""
    device = model.device
    steps, rows = sampling.max_new_tokens, len(chunk.rows)
    logits_PV, cache = _prefill(model, chunk, steps)
    prompt_B = torch.tensor(chunk.row_prompts, device=device)
    lengths_P = torch.tensor([len(ids) for ids in chunk.prompts], device=device)
    position_B = lengths_P[prompt_B]
    logits_BV = logits_PV[prompt_B]
    uniform_TB = _uniforms(chunk.rows, steps, seed).to(device)
    eos_E = torch.tensor(sampling.eos_ids, dtype=torch.long, device=device)
    draw = _drawing(sampling)

    tokens_TB = torch.zeros((steps, rows), dtype=torch.long, device=device)
    logps_TB = torch.zeros((steps, rows), dtype=torch.float32, device=device)
    row_B = torch.arange(rows, device=device)
    ended_B = torch.zeros(rows, dtype=torch.bool, device=device)
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
    return _finished_rows(tokens_TB[: step + 1], logps_TB[: step + 1], sampling.eos_ids)


def _prefill(model: Any, chunk: _Chunk, steps: int) -> tuple[torch.Tensor, SharedPrefixCache]:
    """Compute each prompt once; return (P, V) logits of the first token and the rows' cache."""
    lengths = [len(ids) for ids in chunk.prompts]
    width = max(lengths)
    # Padding is masked, so any id will do.
    ids_PS = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in chunk.prompts])
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
        prefilled, padding_PS if ragged else None, chunk.row_prompts, max(1, steps - 1)
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


def _drawing(sampling: TokenSampling) -> _Draw:
    """Return the function that draws one token per row.

    It takes (B, V) logits and (B,) float64 uniform numbers, and returns (B,) tokens and their (B,)
    float32 log-probabilities. The filters are ``generate``'s own classes, in its order.
    """
    temperature, logp_temperature = sampling.temperature, sampling.logp_temperature
    filters: list[Any] = []
    if sampling.top_k > 0:
        filters.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        filters.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p is not None:
        filters.append(MinPLogitsWarper(sampling.min_p))
    one_pass = not filters and temperature == logp_temperature
    if temperature not in (0.0, 1.0):
        filters.insert(0, TemperatureLogitsWarper(temperature))

    def draw(logits: torch.Tensor, uniform_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # The filters and argmax see float32, as they do in generate.
        logits_BV = logits.float()
        if temperature == 0:
            token_B = logits_BV.argmax(-1)
        else:
            scores_BV = logits_BV
            for logits_filter in filters:
                scores_BV = logits_filter(None, scores_BV)
            probs_BV = scores_BV.softmax(-1)
            token_B = inverse_cdf(probs_BV, uniform_B)
            if one_pass:
                return token_B, probs_BV.gather(1, token_B[:, None]).squeeze(1).log()
        scaled_BV = logits_BV if logp_temperature == 1 else logits_BV / logp_temperature
        # Faster on the CPU than gathering first and subtracting logsumexp.
        return token_B, scaled_BV.log_softmax(-1).gather(1, token_B[:, None]).squeeze(1)

    return draw


def inverse_cdf(weights_BV: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
    """Return the token of each row at which the distribution function passes a uniform number.

    A token of weight 0 is never returned. Large vocabularies are searched in two levels, blocks and
    tokens of one block: one pass over the weights, and no long float32 sum that would round.
    ``torch.multinomial`` draws V exponential numbers per row instead, which is far slower.

    Args:
        weights_BV: Float, >= 0, any sum > 0 per row.
        uniform_B: Float64 in [0, 1).

    Returns:
        (B,) long.
    """
    size = weights_BV.shape[1]
    if size <= 4 * BLOCK:
        return _inverse(weights_BV, uniform_B)[0]
    whole = size // BLOCK * BLOCK
    sums = weights_BV[:, :whole].view(len(weights_BV), -1, BLOCK).sum(-1)
    if whole < size:
        sums = torch.cat((sums, weights_BV[:, whole:].sum(-1, keepdim=True)), dim=1)
    block_B, rest_B = _inverse(sums, uniform_B)
    column_BW = block_B[:, None] * BLOCK + torch.arange(BLOCK, device=weights_BV.device)
    block_BW = weights_BV.gather(1, column_BW.clamp(max=size - 1))
    block_BW = block_BW.masked_fill(column_BW >= size, 0)
    return block_B * BLOCK + _inverse(block_BW, rest_B)[0]


def _inverse(weights: torch.Tensor, uniform_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the index that each uniform number falls on, and how far into it: again uniform."""
    cdf = weights.cumsum(-1, dtype=torch.float64)
    total_B = cdf[:, -1]
    # Rounding must not reach the total itself, or tokens of weight 0 at the end would be met.
    target_B = torch.minimum(uniform_B * total_B, total_B.nextafter(torch.zeros_like(total_B)))
    index_B1 = torch.searchsorted(cdf, target_B[:, None], right=True)
    # NaN weights compare false everywhere; they are reported when the rows are done.
    index_B1 = index_B1.clamp(max=weights.shape[-1] - 1)
    here_B1 = cdf.gather(1, index_B1)
    before_B1 = torch.where(index_B1 > 0, cdf.gather(1, (index_B1 - 1).clamp(min=0)), 0)
    rest_B1 = (target_B[:, None] - before_B1) / (here_B1 - before_B1)
    return index_B1.squeeze(1), rest_B1.squeeze(1)


def _finished_rows(
    tokens_TB: torch.Tensor, logps_TB: torch.Tensor, eos_ids: Sequence[int]
) -> list[SampledRow]:
    """Cut every row behind its end token."""
    ends = set(eos_ids)
    found = []
    for tokens, logps in zip(tokens_TB.T.tolist(), logps_TB.T.tolist(), strict=True):
        length = next((i + 1 for i, token in enumerate(tokens) if token in ends), len(tokens))
        found.append(SampledRow(tuple(tokens[:length]), tuple(logps[:length])))
    if not all(math.isfinite(logp) for row in found for logp in row.logps):
        raise EngineError(
            "the model gave logits that are not finite, required: finite; check weights and dtype"
        )
    return found
