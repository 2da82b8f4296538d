"""One batch between verl's log-probs and its update: rewards to advantages, and token weights.

Lists and tensors in, tensors out; ``trainer`` fetches and stores them. The counterpart of
``trainers.trl.batch``, over core's same functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from rephrase_rl.core.advantages import group_advantages
from rephrase_rl.core.injected import normalisation_scales
from rephrase_rl.trainers.verl.notes import CONTEXT_LOGPS, INJECTED, LEFT_OUT, UNSCORED

if TYPE_CHECKING:
    from torch import Tensor

    from rephrase_rl.guidance.blocks import Guidance

ROW_MEAN_MODES = ("seq-mean-token-sum", "seq-mean-token-sum-norm", "seq-mean-token-mean")
"""Values of verl's ``loss_agg_mode`` whose denominator counts rows, not tokens."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row of verl's batch, as far as the method needs it."""

    uid: str
    """Of its prompt; rows of a group share it."""
    reward: float
    """Sum of verl's reward over tokens."""
    old_logps: Tensor
    """Log-prob of each response token on q under the policy before the update, nats, shape (T,)."""
    loss_mask: Tensor
    """Tokens that verl trains on, 0 or 1, shape (T,)."""
    notes: Mapping[str, Any]
    """What the worker noted; empty for verl's padding rows."""

    @property
    def is_padding(self) -> bool:
        """Whether verl made it up to fill the batch."""
        return not self.notes


class BatchFields(NamedTuple):
    """What is put beside or in the place of verl's fields; padded, one row per row."""

    advantages_BT: Tensor
    """With the weights of injected tokens, 0 on those of a rule with a loss of its own."""
    loss_mask_BT: Tensor
    """Without the rows that are left out, bool."""
    advantages_B: Tensor
    """Without weights."""
    injected_scale: float
    """Factor of the loss of injected tokens of a rule with a loss of its own."""
    left_out_B: Tensor
    """Rows that are not trained on, bool."""


def batch_fields(
    rows: Sequence[BatchRow],
    guidance: Guidance,
    *,
    scale: Literal["group", "batch", "none"],
    loss_agg_mode: str,
) -> BatchFields:
    """Core's advantages with the weights of injected tokens.

    Args:
        rows: The batch, padding rows included.
        guidance: For its train rule and the constants of advantages.
        scale: What centred rewards are divided by.
        loss_agg_mode: How verl reduces losses, for the counts of separate averages.
    """
    width = max(len(row.loss_mask) for row in rows)
    mask_BT = _padded([row.loss_mask for row in rows], width).bool()
    injected_BT = torch.arange(width) < torch.tensor([[row.notes.get(INJECTED, 0)] for row in rows])
    left_out_B = torch.tensor([bool(row.notes.get(LEFT_OUT)) for row in rows])
    advantages_B = advantages_of(rows, guidance, scale)
    factor = _factor_of_the_rest(rows, left_out_B, loss_agg_mode)
    mask_BT = mask_BT & ~left_out_B.unsqueeze(1)
    rule = guidance.train
    injected_BT = injected_BT & mask_BT
    if not (rule.has_own_loss or rule.weighs_tokens):
        weighted_BT = (advantages_B * factor).unsqueeze(1) * mask_BT
        return BatchFields(weighted_BT, mask_BT, advantages_B, 1.0, left_out_B)
    counted = sum(not row.is_padding for row in rows) / factor
    own_scale, injected_scale = _scales(mask_BT, injected_BT, guidance, loss_agg_mode, counted)
    on_q_BT = _padded([row.old_logps for row in rows], width)
    # Where it is unknown, the ratio of the two contexts is 1.
    on_context_BT = _padded([_on_context(row) for row in rows], width)
    weights_BT = rule.token_weights(on_q_BT, on_context_BT, injected_BT)
    weights_BT = weights_BT * rule.weight * injected_scale
    if rule.has_own_loss:
        weights_BT = torch.zeros_like(weights_BT)
    weights_BT = weights_BT.masked_fill(~injected_BT, own_scale) * mask_BT
    weighted_BT = (advantages_B * factor).unsqueeze(1) * weights_BT
    return BatchFields(
        weighted_BT, mask_BT, advantages_B, rule.weight * injected_scale * factor, left_out_B
    )


def advantages_of(
    rows: Sequence[BatchRow], guidance: Guidance, scale: Literal["group", "batch", "none"]
) -> Tensor:
    """Core's advantage of each row among the rows of its prompt, float32, shape (B,).

    Groups may be of different sizes, where verl lost rollouts; missing members count like ones that
    could not be judged, as nothing.
    """
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        if not row.is_padding:
            groups.setdefault(row.uid, []).append(i)
    advantages_B = torch.zeros(len(rows))
    if not groups:
        return advantages_B
    largest = max(map(len, groups.values()))
    rewards_PG = torch.full((len(groups), largest), torch.nan)
    for place, members in enumerate(groups.values()):
        for j, i in enumerate(members):
            rewards_PG[place, j] = math.nan if rows[i].notes[UNSCORED] else rows[i].reward
    advantages_PG = group_advantages(
        rewards_PG, scale=scale, std_ddof=guidance.std_ddof, eps=guidance.advantage_eps
    )
    for place, members in enumerate(groups.values()):
        for j, i in enumerate(members):
            advantages_B[i] = advantages_PG[place, j]
    return advantages_B


def _factor_of_the_rest(rows: Sequence[BatchRow], left_out_B: Tensor, mode: str) -> float:
    """Weight of the other rows where a mean over rows still counts those that are left out."""
    left_out, total = int(left_out_B.sum()), sum(not row.is_padding for row in rows)
    if mode not in ROW_MEAN_MODES or left_out == total:
        return 1.0
    return total / (total - left_out)


def _scales(
    mask_BT: Tensor, injected_BT: Tensor, guidance: Guidance, mode: str, num_rows: float
) -> tuple[float, float]:
    """Factors by which own and injected tokens are averaged apart.

    Args:
        mask_BT: Tokens that count.
        injected_BT: Those of them that were injected.
        guidance: For its train rule.
        mode: How verl reduces losses.
        num_rows: Rows that a mean over rows counts in effect, those that are left out taken off.
    """
    own_BT = mask_BT & ~injected_BT
    num_all = None
    if mode in ROW_MEAN_MODES:
        num_all = num_rows
        own, injected = own_BT.any(dim=1).sum(), injected_BT.any(dim=1).sum()
    else:
        own, injected = own_BT.sum(), injected_BT.sum()
    scales = normalisation_scales(
        float(own),
        float(injected),
        normalisation=guidance.train.normalisation,
        num_all=num_all,
    )
    return float(scales.own), float(scales.injected)


def _on_context(row: BatchRow) -> Tensor:
    known = row.notes.get(CONTEXT_LOGPS)
    return torch.tensor(known) if known else row.old_logps


def _padded(rows: Sequence[Tensor], width: int) -> Tensor:
    values_BT = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        values_BT[i, : len(row)] = row
    return values_BT
