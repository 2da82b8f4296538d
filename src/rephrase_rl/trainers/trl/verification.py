"""Rollouts are handed to their verifiers as they end, while the others are still sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.rewards import JudgesAhead, VerifierReward
from rephrase_rl.rewards.dataset_reward import DatasetReward

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.rollout.shared_prefix import FinishedCallback
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


def judging_ahead(
    trainer: RePOTrainer, rows: Sequence[Mapping[str, Any]]
) -> FinishedCallback | None:
    """What the sampler calls for each rollout that has ended; None where no verifier wants it.

    Args:
        trainer: For its reward functions and tokenizer.
        rows: Dataset rows of the batch, one per rollout. What is sampled beyond them is left alone.
    """
    rewards = [
        (function, function.verifier)
        for function in trainer.reward_funcs
        if isinstance(function, VerifierReward | DatasetReward)
        and isinstance(function.verifier, JudgesAhead)
    ]
    if not rewards:
        return None

    def begin(prompt: int, copy: int, token_ids: tuple[int, ...]) -> None:
        if prompt >= len(rows):
            return
        row = rows[prompt]
        text = trainer.processing_class.decode(token_ids, skip_special_tokens=True)
        for function, verifier in rewards:
            if isinstance(function, VerifierReward) or row["dataset"] in function.datasets:
                verifier.verify_ahead([text], [row["reference_answer"]])

    return begin
