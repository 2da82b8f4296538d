"""How one token is drawn from logits: temperature, filters and one random number.

The filters are ``generate``'s own classes, in its order. ``generate`` itself draws V random numbers
for a token, which on a CPU takes longer than the choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rephrase_rl.errors import EngineError

Draw = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Takes (B, V) logits and (B,) float64 uniform numbers; gives (B,) tokens and their (B,) float32
log-probabilities."""

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


def drawing(sampling: TokenSampling) -> Draw:
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
