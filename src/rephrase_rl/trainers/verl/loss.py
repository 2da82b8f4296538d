"""verl's loss with that of injected tokens, for a train rule with a loss of its own.

verl's own loss sees those tokens with advantage 0 (``batch``), so it adds nothing for them but KL
and entropy; their loss is added over the same denominator. Runs on verl's training workers, where
it arrives through ``set_loss_fn``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from verl.trainer.ppo.core_algos import agg_loss
from verl.utils.metric import Metric
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import no_padding_2_padding

from rephrase_rl.guidance.training import InjectedTokens
from rephrase_rl.trainers.verl.notes import INJECTED

if TYPE_CHECKING:
    from tensordict import TensorDict
    from verl.workers.config import ActorConfig

    from rephrase_rl.guidance.training import TrainRule

ADVANTAGE = "injected_advantage"
"""Field of a row: its advantage without weights."""
SCALE = "injected_scale"
"""Field of a row: factor of the loss of injected tokens, the same for all rows of a batch."""


def guided_loss(
    config: ActorConfig,
    model_output: dict[str, Any],
    data: TensorDict,
    dp_group: Any = None,
    *,
    rule: TrainRule,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Loss of a micro-batch.

    Args:
        config: verl's settings of the actor.
        model_output: Log-probs with gradient, and entropies.
        data: verl's rows with the fields ``injected_tokens`` and those above.
        dp_group: As for verl's loss.
        rule: How injected tokens are trained.

    Returns:
        Loss, divided as verl divides its own, and metrics.
    """
    loss, metrics = ppo_loss(config, model_output, data, dp_group)
    logps_BT = no_padding_2_padding(model_output["log_probs"], data)
    mask_BT = data.select("response_mask").to_padded_tensor()["response_mask"].bool()
    columns = torch.arange(mask_BT.size(1), device=mask_BT.device)
    injected_BT = mask_BT & (columns < data[INJECTED].reshape(-1, 1))
    tokens = InjectedTokens(logps_BT, data[ADVANTAGE].reshape(-1), injected_BT)
    losses_BT = rule.token_losses(tokens) * data[SCALE].reshape(-1, 1)
    injected = agg_loss(
        loss_mat=losses_BT,
        loss_mask=mask_BT,
        loss_agg_mode=config.loss_agg_mode,
        **config.global_batch_info,
    )
    aggregation = metrics["actor/pg_loss"].aggregation
    metrics["actor/injected_loss"] = Metric(value=injected.detach(), aggregation=aggregation)
    return loss + injected, metrics
