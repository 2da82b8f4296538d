"""Rows and columns of a micro-batch that no gradient comes from stay out of the forward pass.

A group without spread has advantage exactly 0, and on hard or mastered problems most groups have
none; TRL computes them all the same, each padded to the longest of the whole generation batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import gather_object

from rephrase_rl.trainers.trl.batch import ROW_MEAN_LOSSES, loss_mask
from rephrase_rl.trainers.trl.packed import ROPE_BY_LENGTH, rope_types

if TYPE_CHECKING:
    from torch import Tensor

    from rephrase_rl.trainers.trl.trainer import RePOTrainer

SPLITTABLE_LOSSES = ("grpo", "dr_grpo", "dapo", "cispo")
"""Loss types whose denominator does not depend on which rows are computed: a count of the whole
generation batch, or of rows. ``bnpo`` divides by the tokens that it is given."""


class TrainedRows(NamedTuple):
    """What has to be computed of a micro-batch."""

    inputs: dict[str, Any]
    share: float
    """Factor of a loss that is a mean over the rows it is given; else 1."""


def trained_rows(trainer: RePOTrainer, inputs: dict[str, Any]) -> TrainedRows:
    """Leave out rows with advantage 0, where nothing else gives them a gradient, and padding.

    Every process keeps as many rows as the one with the most: TRL gathers figures of single rows.
    At least one is kept, so that each process takes part in the backward pass.

    Args:
        trainer: For its loss.
        inputs: TRL's micro-batch after guidance; not changed.

    Returns:
        A micro-batch of the same gradient.
    """
    rows = len(inputs["completion_ids"])
    if trainer._is_vlm:  # images and token types go with rows and columns in ways of their own
        return TrainedRows(inputs, 1.0)
    kept = torch.arange(rows)
    if _advantage_alone_trains(trainer):
        live_B = _has_gradient(inputs)
        need = max(1, *gather_object([int(live_B.sum())]))
        # Live rows first, each part in its own order; dead ones only fill up.
        kept = torch.argsort(~live_B, stable=True)[:need].sort().values.cpu()
    share = len(kept) / rows if trainer.loss_type in ROW_MEAN_LOSSES else 1.0
    chosen = {name: rows_of(value, kept, rows) for name, value in inputs.items()}
    return TrainedRows(without_padding(trainer, chosen), share)


def _advantage_alone_trains(trainer: RePOTrainer) -> bool:
    """Whether a row of advantage 0 has no gradient."""
    return (
        trainer.loss_type in SPLITTABLE_LOSSES
        and trainer.beta == 0.0
        and not trainer._entropy_bonus_enabled
        and not trainer.aux_loss_enabled
        and trainer.top_entropy_quantile == 1.0
        and trainer.off_policy_mask_threshold is None
    )


def _has_gradient(inputs: dict[str, Any]) -> Tensor:
    """Rows with a trained token, bool, shape (B,)."""
    mask_BT = loss_mask(inputs)
    weights = inputs["advantages"]
    weights_BT = weights if weights.dim() == 2 else weights.unsqueeze(1)
    trained_BT = (weights_BT != 0) & mask_BT
    if "injected_advantages" in inputs:  # a rule with a loss of its own needs no advantage
        trained_BT = trained_BT | (inputs["injected_mask"] & mask_BT)
    return trained_BT.any(dim=1)


def rows_of(value: Any, kept: Tensor, rows: int) -> Any:
    """Chosen rows of one of TRL's inputs; what does not go by rows, such as a count, as it is."""
    if torch.is_tensor(value) and value.dim() and len(value) == rows:
        return value[kept.to(value.device)]
    return value


def without_padding(trainer: RePOTrainer, inputs: dict[str, Any]) -> dict[str, Any]:
    """Cut columns in which every row is padding, on the left of prompts and right of completions.

    TRL pads to the longest row of the generation batch, before it is split and shuffled. Old and
    reference log-probs are of that width, so nothing is cut where it changes them.

    Args:
        trainer: For its model.
        inputs: TRL's micro-batch; not changed.
    """
    if padding_counts(trainer.model):
        return inputs
    prompt = _used_columns(inputs["prompt_mask"].flip(1))
    width = inputs["completion_mask"].size(1)
    last = max(1, _used_columns(inputs["completion_mask"]))
    trimmed = dict(inputs)
    for name, value in inputs.items():
        if name in ("prompt_ids", "prompt_mask"):
            trimmed[name] = value[:, value.size(1) - prompt :]
        elif torch.is_tensor(value) and value.dim() == 2 and value.size(1) == width:
            trimmed[name] = value[:, :last]
    return trimmed


def padding_counts(model: Any) -> bool:
    """Whether a row's log-probs may depend on its padding.

    Learned positions (GPT-2) count from the start of the row, padding included; rotary ones are
    relative, unless they are scaled by the row's length. transformers keeps ``rope_parameters`` for
    those; a model without them is taken for one of the former, which costs time and is never wrong.
    """
    text = model.config.get_text_config()
    rotary = bool(getattr(text, "rope_parameters", None))
    return not rotary or not ROPE_BY_LENGTH.isdisjoint(rope_types(text))


def _used_columns(mask: Tensor) -> int:
    """Number of columns up to the last one in which any row counts."""
    used = mask.bool().any(dim=0).nonzero()
    return int(used[-1]) + 1 if len(used) else 0
