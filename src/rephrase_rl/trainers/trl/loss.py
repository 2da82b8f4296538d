"""The loss of injected tokens beside TRL's, from TRL's one forward pass.

TRL's loss sees the tokens of a rule with a loss of its own with advantage 0, so it adds nothing for
them but KL and entropy; this module adds their own loss over the same denominator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.core.reduction import reduce_loss
from rephrase_rl.guidance.training import InjectedTokens
from rephrase_rl.trainers.trl.batch import loss_mask

if TYPE_CHECKING:
    from torch import Tensor

    from rephrase_rl.trainers.trl.trainer import RePOTrainer


def injected_loss(trainer: RePOTrainer, inputs: dict[str, Any], logps_BT: Tensor) -> Tensor:
    """Loss of the injected tokens of a micro-batch under a rule with a loss of its own.

    Args:
        trainer: For its loss type and counts.
        inputs: TRL's micro-batch, marked by ``mark_injected``.
        logps_BT: Log-probs of TRL's forward pass, with gradient.

    Returns:
        Scalar, divided as TRL divides its own loss.
    """
    mask_BT = loss_mask(inputs)
    injected_BT = inputs["injected_mask"] & mask_BT
    tokens = InjectedTokens(logps_BT, inputs["injected_advantages"], injected_BT)
    loss_BT = trainer.guidance.train.token_losses(tokens) * inputs["injected_scale"]
    return reduce_as_trl(trainer, loss_BT, mask_BT, inputs["num_items_in_batch"])


def reduce_as_trl(
    trainer: RePOTrainer, loss_BT: Tensor, mask_BT: Tensor, num_items: Tensor
) -> Tensor:
    """Reduce per-token losses with the denominator of the trainer's ``loss_type``.

    Source: TRL 1.16.0, ``GRPOTrainer._compute_loss``, for training.
    """
    accumulation = trainer.current_gradient_accumulation_steps
    kind = trainer.loss_type
    if kind in ("dapo", "cispo", "vespo"):
        # num_items spans the generation batch; one accumulation window has its share of it.
        total = num_items.clamp(min=1.0) / trainer.accelerator.num_processes
        total = total * accumulation / trainer.args.steps_per_generation
        return reduce_loss(loss_BT, mask_BT, total_tokens=total)
    if kind == "bnpo":
        return reduce_loss(loss_BT, mask_BT) / accumulation
    if kind == "dr_grpo":
        length = trainer.max_completion_length
        reduced = reduce_loss(loss_BT, mask_BT, reduction="fixed_length", fixed_length=length)
        return reduced / accumulation
    return reduce_loss(loss_BT, mask_BT, reduction="sequence_mean") / accumulation
