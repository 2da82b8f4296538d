"""How far injected text is from the policy, beside own rollouts and the expert's own text.

The honest question of the method: a rewrite is drawn from pi(. | P(q, k)) and trained as if drawn
from pi(. | q). These figures are logged in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather

from rephrase_rl.core.diagnostics import clip_fractions
from rephrase_rl.core.ratios import importance_ratio
from rephrase_rl.guidance.blocks import Measurement
from rephrase_rl.trainers.trl.batch import loss_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from rephrase_rl.records import RolloutGroup
    from rephrase_rl.trainers.trl.engine import TrlGuidanceEngine
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


def record_honesty(trainer: RePOTrainer, inputs: dict[str, Any], logps_BT: Tensor) -> None:
    """Log how own and injected tokens stand to the policy in this micro-batch, over all processes.

    Means per token of the log-prob on q, and shares of tokens at which the ratio is clipped.
    """
    mask_BT = loss_mask(inputs)
    injected_BT = inputs["injected_mask"] & mask_BT
    logps_BT = logps_BT.detach().float()
    old_BT = inputs.get("old_per_token_logps")
    ratio_BT = importance_ratio(logps_BT, logps_BT if old_BT is None else old_BT.float(), mask_BT)
    if trainer.importance_sampling_level == "sequence":
        # GSPO has one ratio for a row: the geometric mean over its tokens.
        mean_B = (ratio_BT.log() * mask_BT).sum(dim=1) / mask_BT.sum(dim=1).clamp(min=1)
        ratio_BT = mean_B.exp().unsqueeze(1).expand_as(ratio_BT)
    clip_low, clip_high = trainer.epsilon_low, trainer.epsilon_high
    if trainer.loss_type == "cispo":  # TRL cuts the weight at epsilon_high itself, below nothing
        clip_low, clip_high = 1.0, trainer.epsilon_high - 1.0
    advantages_B = _advantage_signs(inputs)
    for name, tokens_BT in (("rollouts", mask_BT & ~injected_BT), ("injection", injected_BT)):
        count = tokens_BT.sum().float()
        clipped = clip_fractions(
            ratio_BT,
            advantages_B,
            tokens_BT,
            clip_low=clip_low,
            clip_high=clip_high,
        )
        share = (clipped.low + clipped.high).nan_to_num(nan=0.0)
        if name == "injection" and trainer.guidance.train.has_own_loss:
            share = torch.zeros_like(share)  # such a loss has no clip range
        local = torch.stack([count, (logps_BT * tokens_BT).sum(), share * count])
        total, logp, clip = trainer.accelerator.gather(local).view(-1, 3).sum(dim=0).tolist()
        if total:
            metrics = trainer._metrics["train"]
            metrics[f"{name}/policy_logp"].append(logp / total)
            metrics[f"{name}/clip_fraction"].append(clip / total)


def _advantage_signs(inputs: dict[str, Any]) -> Tensor:
    """One advantage per row, of the right sign, whatever weights its tokens have."""
    if "injected_advantages" in inputs:
        own: Tensor = inputs["injected_advantages"]
        return own
    advantages: Tensor = inputs["advantages"]
    return advantages if advantages.dim() == 1 else advantages.sum(dim=1)


def measure_experts(
    trainer: RePOTrainer, groups: Sequence[RolloutGroup], engine: TrlGuidanceEngine
) -> None:
    """Every so often, how likely the expert's own texts are, beside the injected ones."""
    every = trainer.guidance.expert_logp_every
    if not (trainer.guidance.active and every and trainer.state.global_step % every == 0):
        return
    texts = [
        Measurement(i, None, (*engine.encode_completion(solution), engine.end_id))
        for i, group in enumerate(groups)
        if (solution := group.problem.expert_solution)
    ]
    limit = engine.max_completion_tokens
    measured = engine.measure([m for m in texts if len(m.token_ids) <= limit])
    local = torch.tensor(
        [sum(map(len, (m.on_q for m in measured))), sum(sum(m.on_q) for m in measured)],
        dtype=torch.float64,
        device=trainer.accelerator.device,
    )
    tokens, total = gather(local).view(-1, 2).sum(dim=0).tolist()
    if tokens:
        trainer._metrics["train"]["expert/policy_logp"].append(total / tokens)
