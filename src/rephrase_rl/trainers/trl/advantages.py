"""Core's advantages in the place of TRL's, which know nothing of injection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.core.advantages import multi_reward_advantages

if TYPE_CHECKING:
    from torch import Tensor

    from rephrase_rl.trainers.trl.trainer import RePOTrainer


def core_advantages(trainer: RePOTrainer, rewards: Tensor, local_rows: int) -> Tensor:
    """Advantages of the local rows after injection, which are logged for all processes as well.

    Args:
        trainer: For its settings and logs.
        rewards: Of all processes, one column per reward function, float32, shape (world * B, K).
        local_rows: B.

    Returns:
        Float32, shape (B,).
    """
    advantages_PG = multi_reward_advantages(
        rewards.view(-1, trainer.num_generations, rewards.size(1)),
        trainer.reward_weights.to(rewards.device),
        aggregation=trainer.multi_objective_aggregation,
        scale=trainer.scale_rewards,
        std_ddof=trainer.guidance.std_ddof,
        eps=trainer.guidance.advantage_eps,
    )
    advantages = advantages_PG.flatten()
    logged = trainer._logs["advantages"]
    for _ in range(min(len(logged), advantages.numel())):
        logged.pop()
    logged.extend(advantages.tolist())
    start = trainer.accelerator.process_index * local_rows
    return advantages[start : start + local_rows]
