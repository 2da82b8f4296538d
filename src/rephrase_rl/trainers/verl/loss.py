"""verl's loss, with that of injected tokens and with how own and injected ones stand to the policy.

Under a train rule with a loss of its own verl's loss sees injected tokens with advantage 0
(``batch``), so it adds nothing for them but KL and entropy; their loss is added over the same
denominator. Runs on verl's training workers, where it arrives through ``set_loss_fn``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from verl.trainer.ppo.core_algos import agg_loss
from verl.utils import tensordict_utils as tu
from verl.utils.metric import AggregationType, Metric
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import no_padding_2_padding

from rephrase_rl.core.diagnostics import clip_fractions
from rephrase_rl.core.ratios import importance_ratio
from rephrase_rl.guidance.training import InjectedTokens
from rephrase_rl.trainers.verl.notes import INJECTED

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from tensordict import TensorDict
    from torch import Tensor
    from verl.workers.config import ActorConfig

    from rephrase_rl.guidance.training import TrainRule

ADVANTAGE = "injected_advantage"
"""Field of a row: its advantage without weights."""
SCALE = "injected_scale"
"""Field of a row: factor of the loss of injected tokens, the same for all rows of a batch."""
KINDS = ("rollouts", "injection")
"""Own tokens and injected ones, by the first part of their figures' names."""


def guided_loss(
    config: ActorConfig,
    model_output: dict[str, Any],
    data: TensorDict,
    dp_group: Any = None,
    *,
    rule: TrainRule | None,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Loss of a micro-batch.

    Args:
        config: verl's settings of the actor.
        model_output: Log-probs with gradient, and entropies.
        data: verl's rows with the field ``injected_tokens`` and, with a rule, those above.
        dp_group: As for verl's loss.
        rule: How injected tokens are trained; None: by verl's own loss.

    Returns:
        Loss, divided as verl divides its own, and metrics.
    """
    if data["batch_num_tokens"] == 0:  # all rows were left out, and 0 / 0 would be the loss
        tu.assign_non_tensor(data, batch_num_tokens=1)
    loss, metrics = ppo_loss(config, model_output, data, dp_group)
    tokens = _tokens_of(model_output, data)
    metrics |= _tallies(tokens, data, config, rule)
    if rule is None:
        return loss, metrics
    own = InjectedTokens(tokens.logps_BT, data[ADVANTAGE].reshape(-1), tokens.injected_BT)
    losses_BT = rule.token_losses(own) * data[SCALE].reshape(-1, 1)
    injected = agg_loss(
        loss_mat=losses_BT,
        loss_mask=tokens.mask_BT,
        loss_agg_mode=config.loss_agg_mode,
        **config.global_batch_info,
    )
    aggregation = metrics["actor/pg_loss"].aggregation
    metrics["actor/injected_loss"] = Metric(value=injected.detach(), aggregation=aggregation)
    return loss + injected, metrics


def take_shares(metrics: MutableMapping[str, Any]) -> dict[str, float]:
    """Take the sums of ``guided_loss`` out of metrics, and make means and shares of them.

    verl adds up micro-batches and averages over processes and updates; both do the same to
    numerator and denominator.
    """
    shares = {}
    for kind in KINDS:
        count, logps, clipped = (
            metrics.pop(f"actor/{kind}_{name}", 0.0) for name in ("tokens", "logps", "clipped")
        )
        if count:
            shares[f"{kind}/policy_logp"] = float(logps / count)
            shares[f"{kind}/clip_fraction"] = float(clipped / count)
    return shares


class _Tokens(NamedTuple):
    """Response tokens of a micro-batch, padded on the right."""

    logps_BT: Tensor
    """Of the policy, with gradient."""
    mask_BT: Tensor
    """Which are trained on, bool."""
    injected_BT: Tensor
    """Which of these were injected, bool."""


def _tokens_of(model_output: dict[str, Any], data: TensorDict) -> _Tokens:
    logps_BT = no_padding_2_padding(model_output["log_probs"], data)
    mask_BT = data.select("response_mask").to_padded_tensor()["response_mask"].bool()
    columns = torch.arange(mask_BT.size(1), device=mask_BT.device)
    injected_BT = mask_BT & (columns < data[INJECTED].reshape(-1, 1))
    return _Tokens(logps_BT, mask_BT, injected_BT)


def _tallies(
    tokens: _Tokens, data: TensorDict, config: ActorConfig, rule: TrainRule | None
) -> dict[str, Metric]:
    """Own and injected tokens: how many, the sum of their log-probs, how many are clipped.

    The counterpart of ``trainers.trl.honesty.record_honesty``.
    """
    logps_BT = tokens.logps_BT.detach().float()
    padded = data.select("old_log_probs", "advantages").to_padded_tensor()
    ratio_BT = importance_ratio(logps_BT, padded["old_log_probs"].float(), tokens.mask_BT)
    # Only the sign counts, whatever weights the tokens have.
    advantages_B = (
        padded["advantages"].float().sum(dim=1) if rule is None else data[ADVANTAGE].reshape(-1)
    )
    tallies: dict[str, Metric] = {}
    own_BT = tokens.mask_BT & ~tokens.injected_BT
    for kind, kind_BT in zip(KINDS, (own_BT, tokens.injected_BT), strict=True):
        count = kind_BT.sum()
        clipped = clip_fractions(
            ratio_BT,
            advantages_B,
            kind_BT,
            clip_low=_first(config.clip_ratio_low, config.clip_ratio),
            clip_high=_first(config.clip_ratio_high, config.clip_ratio),
        )
        share = (clipped.low + clipped.high).nan_to_num(nan=0.0)
        if kind == "injection" and rule is not None:
            share = torch.zeros_like(share)  # such a loss has no clip range
        values = {
            "tokens": count,
            "logps": (logps_BT * kind_BT).sum(),
            "clipped": share * count,
        }
        tallies |= {
            f"actor/{kind}_{name}": Metric(value=value, aggregation=AggregationType.SUM)
            for name, value in values.items()
        }
    return tallies


def _first(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
