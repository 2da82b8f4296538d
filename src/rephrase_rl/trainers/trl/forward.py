"""Which forward pass serves TRL's call for log-probs: packed rows, or its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import ConfigError
from rephrase_rl.trainers.trl.packed import packed_logps_and_entropies, why_not_packed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from rephrase_rl.trainers.trl.compute import ForwardChoice
    from rephrase_rl.trainers.trl.trainer import RePOTrainer

logger = logging.getLogger(__name__)

UNDERSTOOD = {"batch_size", "compute_entropy", "compute_aux_loss"}
"""Arguments of TRL's method that packed rows know; all others are inputs other than text."""


def packs_rows(trainer: RePOTrainer, choice: ForwardChoice) -> bool:
    """Whether log-probs come from packed rows where prompts repeat.

    Says in one line why not where one would expect it.

    Args:
        trainer: After its construction by TRL.
        choice: What the user asked for.

    Raises:
        ConfigError: It was asked for and the model does not allow it.
    """
    if choice == "plain" or (choice == "auto" and trainer.accelerator.device.type != "cpu"):
        return False
    reason = why_not_packed(trainer.model)
    if reason is None:
        return True
    if choice == "packed":
        raise ConfigError(f"compute.forward is 'packed', but {reason}; set it to 'auto' or 'plain'")
    logger.warning("every row is computed with its own copy of the prompt, because %s", reason)
    return False


def token_scores(
    trainer: RePOTrainer,
    model: Any,
    input_ids_BS: Tensor,
    attention_mask_BS: Tensor,
    logits_to_keep: int,
    more: Mapping[str, Any],
) -> tuple[Tensor, Tensor | None, None] | None:
    """What TRL's ``_get_per_token_logps_and_entropies`` returns, from packed rows.

    Returns:
        None where packing does not apply to this call.
    """
    others = any(value is not None for name, value in more.items() if name not in UNDERSTOOD)
    if not trainer.packs_rows or others or more.get("compute_aux_loss"):
        return None
    with trainer.accelerator.autocast():  # as TRL's own, for a reference policy as well
        scores = packed_logps_and_entropies(
            model,
            input_ids_BS,
            attention_mask_BS,
            logits_to_keep,
            batch_size=more.get("batch_size"),
            compute_entropy=bool(more.get("compute_entropy")),
        )
    return *scores, None
