"""The trainer's pass over a micro-batch on a bare model, so that its cost can be measured alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trl.trainer.utils import add_fused_lm_head

from rephrase_rl.trainers.trl.packed import packed_logps_and_entropies

if TYPE_CHECKING:
    from torch import Tensor


def prepare(model: Any) -> None:
    """Give a model the head with which the trainer scores tokens."""
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))


def scored_pass(model: Any, input_ids_BS: Tensor, completion_tokens: int) -> Tensor:
    """Log-probs of the last tokens of rows without padding, float32, shape (B, T).

    Args:
        model: After ``prepare``; autocast is the caller's.
        input_ids_BS: Prompts and completions of equal lengths; equal prompts share a pass.
        completion_tokens: T.
    """
    mask_BS = input_ids_BS.new_ones(input_ids_BS.shape)
    scores = packed_logps_and_entropies(
        model, input_ids_BS, mask_BS, completion_tokens, compute_entropy=True
    )
    return scores.logps
