"""One generation batch between TRL's sampling and its loss: lists in, marked tensors out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from rephrase_rl.core.advantages import has_spread
from rephrase_rl.core.injected import normalisation_scales
from rephrase_rl.guidance.recording import group_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from rephrase_rl.guidance.blocks import Guidance, StepContext
    from rephrase_rl.guidance.step import GuidedGroup
    from rephrase_rl.guidance.token_records import TokenRecorder
    from rephrase_rl.records import GroupRecord
    from rephrase_rl.trainers.trl.engine import TrlGuidanceEngine
    from rephrase_rl.trainers.trl.trainer import RePOTrainer

ROW_MEAN_LOSSES = ("grpo", "sapo", "dr_grpo", "luspo")
"""TRL's loss types whose denominator counts rows, not tokens."""


class GenerationOutput(NamedTuple):
    """What ``GRPOTrainer._generate`` returns in TRL 1.16, by name; lists over the B local rows."""

    prompt_ids: list[list[int]]
    completion_ids: list[list[int]]
    tool_mask: list[list[int]] | None
    completions: list[Any]
    logprobs: list[list[float]] | None
    extra_fields: dict[str, Any]
    images: Any
    tool_images: Any


class Displaced(NamedTuple):
    """A group that gave way to another, and the tokens of its q."""

    group: GuidedGroup
    prompt_ids: tuple[int, ...]


@dataclass
class GuidedBatch:
    """One generation batch after guidance, waiting for its advantages."""

    groups: list[GuidedGroup]
    rewards_per_func: Tensor
    """Local rewards of the final rows, float32, shape (B, number of reward functions)."""
    size: int
    """Members of a group, G."""
    reward_weights: Tensor
    """Weight of each reward function in the total."""
    total_decides: bool = True
    """Whether advantages are made of the total, or of each reward apart."""
    displaced: list[Displaced] = field(default_factory=list)
    """Groups that were sampled, and gave way to others in dynamic sampling."""

    def row_numbers(self, group: int) -> range:
        """Rows of the group at this position."""
        return range(group * self.size, (group + 1) * self.size)

    def has_signal(self, group: int) -> bool:
        """Whether what advantages are made of differs between the final group's members."""
        rewards = self.rewards_per_func[group * self.size : (group + 1) * self.size]
        weights = self.reward_weights.to(rewards.device)
        if not self.total_decides:
            return bool(has_spread(rewards[:, weights != 0].T).any())
        totals = (rewards * weights).nansum(dim=1)
        totals = totals.masked_fill(rewards.isnan().all(dim=1), torch.nan)
        return bool(has_spread(totals.unsqueeze(0)).any())

    def records(
        self, advantages: Sequence[Sequence[float]], context: StepContext, tokens: TokenRecorder
    ) -> list[GroupRecord]:
        """The groups as they are trained on, then those that gave way to others.

        Args:
            advantages: By group and member; those that gave way have none.
            context: Step and rank.
            tokens: Writes the tokens of candidates.
        """
        trained = [
            group_record(group, own, context, tokens=tokens)
            for group, own in zip(self.groups, advantages, strict=True)
        ]
        nothing = [0.0] * self.size
        gone = [d.group for d in self.displaced]
        return trained + [
            group_record(group, nothing, context, used=False, tokens=tokens) for group in gone
        ]

    def injected_row(self, group: int) -> int | None:
        """Row of the member that was injected into the group, if one was."""
        slot = self.groups[group].slot
        return None if slot is None else group * self.size + slot


def put_in_place(
    batch: GuidedBatch, generated: GenerationOutput, engine: TrlGuidanceEngine, extra: Any
) -> None:
    """Swap injected rows into TRL's lists; ``prompt_ids`` stay q's: that is the method.

    Args:
        batch: The groups, and the rewards of their own rollouts, which are changed as well.
        generated: TRL's lists, changed.
        engine: Knows every reward of every candidate.
        extra: TRL's pending values of reward functions' own columns, changed.
    """
    for i, group in enumerate(batch.groups):
        row = batch.injected_row(i)
        if row is None or group.slot is None:
            continue
        completion = group.group.rollouts[group.slot].completion
        generated.completion_ids[row] = list(completion.token_ids)
        generated.completions[row] = (
            [{"role": "assistant", "content": completion.text}]
            if not isinstance(generated.completions[row], str)
            else completion.text
        )
        if generated.logprobs is not None:
            # The sampler's log-probs belong to P(q, k). NaN tells TRL "unknown": the vLLM
            # importance ratio becomes exactly 1 instead of suppressing the row.
            generated.logprobs[row] = [float("nan")] * len(completion.token_ids)
        if generated.tool_mask is not None:
            generated.tool_mask[row] = [1] * len(completion.token_ids)
        judgement = engine.judgement(i, completion)
        batch.rewards_per_func[row] = torch.tensor(judgement.rewards_per_func)
        for column, value in judgement.extra_columns.items():
            if row < len(extra.get(column, ())):
                extra[column][row] = value


def mark_injected(
    output: dict[str, Any], batch: GuidedBatch, trainer: RePOTrainer, factor: float
) -> None:
    """Add to TRL's tensors which tokens were injected and what their loss needs.

    ``advantages`` stays of shape (B,) for a rule that treats injected tokens like any others, and
    becomes (B, T) otherwise, which TRL's loss takes as well.

    Args:
        output: TRL's tensors, changed.
        batch: The groups in row order.
        trainer: For its train rule and counts over processes.
        factor: Of all losses, from ``leave_out``.
    """
    rule = trainer.guidance.train
    completion_ids = output["completion_ids"]
    injected_BT = torch.zeros_like(completion_ids, dtype=torch.bool)
    on_q_BT = torch.zeros_like(injected_BT, dtype=torch.float32)
    on_context_BT = torch.zeros_like(on_q_BT)
    for i, group in enumerate(batch.groups):
        row, candidate = batch.injected_row(i), group.accepted
        if row is None or candidate is None:
            continue
        # Of a prefix with the policy's own continuation, only the prefix is foreign.
        length = len(candidate.completion.token_ids)
        injected_BT[row, : candidate.num_prefix_tokens or length] = True
        on_q_BT[row, :length] = on_q_BT.new_tensor(candidate.logps_on_q or [0.0] * length)
        on_context_BT[row, :length] = on_q_BT.new_tensor(
            candidate.logps_on_context or [0.0] * length
        )
    output["injected_mask"] = injected_BT
    advantages_B = output["advantages"]
    output["advantages"] = advantages_B * factor
    if not (rule.has_own_loss or rule.weighs_tokens):
        return
    mask_BT = injected_BT & loss_mask(output)
    own_scale, injected_scale = _scales(output, mask_BT, trainer, factor)
    weights_BT = rule.token_weights(on_q_BT, on_context_BT, mask_BT) * rule.weight * injected_scale
    if rule.has_own_loss:
        output["injected_advantages"] = advantages_B
        output["injected_scale"] = mask_BT.new_tensor(
            rule.weight * injected_scale * factor, dtype=torch.float32
        )
        weights_BT = torch.zeros_like(weights_BT)  # TRL's surrogate leaves these tokens alone
    weights_BT = weights_BT.masked_fill(~injected_BT, own_scale)
    output["advantages"] = output["advantages"].unsqueeze(1) * weights_BT


def rows_left_out(batch: GuidedBatch, guidance: Guidance) -> list[int] | None:
    """Local rows that are not trained on; None where the method never leaves any out."""
    drops = guidance.no_spread == "drop"
    if not drops and (guidance.slot is None or guidance.slot.placement != "whole_group"):
        return None
    rows: list[int] = []
    for i, group in enumerate(batch.groups):
        injected = batch.injected_row(i)
        if injected is not None and group.placement == "whole_group":
            rows += [row for row in batch.row_numbers(i) if row != injected]
        elif drops and not batch.has_signal(i):
            rows += batch.row_numbers(i)
    return rows


def leave_out(output: dict[str, Any], rows: Sequence[int], trainer: RePOTrainer) -> float:
    """Take rows out of the loss and out of its denominator, on all processes together.

    Returns:
        Factor by which the loss of the other rows has to be weighted up: TRL's losses that are a
        mean over rows count every row there is. Advantages carry it, and the weight of the KL term.
    """
    mask_BT = output["completion_mask"].clone()
    mask_BT[list(rows)] = 0
    output["completion_mask"] = mask_BT
    gather = trainer.accelerator.gather
    output["num_items_in_batch"] = gather(loss_mask(output).sum()).sum()
    left_out = int(gather(torch.tensor(len(rows), device=mask_BT.device)).sum())
    total = len(mask_BT) * trainer.accelerator.num_processes
    if trainer.loss_type not in ROW_MEAN_LOSSES or left_out == total:
        return 1.0
    return total / (total - left_out)


def loss_mask(inputs: dict[str, Any]) -> Tensor:
    """Tokens that count in TRL's loss, bool, shape (B, T)."""
    mask: Tensor = inputs["completion_mask"]
    return (mask * inputs["tool_mask"] if "tool_mask" in inputs else mask).bool()


def _scales(
    output: dict[str, Any], mask_BT: Tensor, trainer: RePOTrainer, factor: float
) -> tuple[float, float]:
    """Factors by which own and injected tokens are averaged apart, counted over all processes.

    Args:
        output: TRL's tensors.
        mask_BT: Injected tokens that count.
        trainer: For its loss type and its processes.
        factor: Of all losses, which takes rows that are left out off the mean over rows.
    """
    own_BT = loss_mask(output) & ~mask_BT
    rows = None
    if trainer.loss_type in ROW_MEAN_LOSSES:
        rows = len(own_BT) * trainer.accelerator.num_processes / factor
        counts = torch.stack([own_BT.any(dim=1).sum(), mask_BT.any(dim=1).sum()])
    else:
        counts = torch.stack([own_BT.sum(), mask_BT.sum()])
    own, injected = trainer.accelerator.gather(counts).view(-1, 2).sum(dim=0).tolist()
    normalisation = trainer.guidance.train.normalisation
    scales = normalisation_scales(own, injected, normalisation=normalisation, num_all=rows)
    return float(scales.own), float(scales.injected)
