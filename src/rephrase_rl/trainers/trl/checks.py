"""Settings of TRL under which guidance cannot work, refused before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trl import GRPOConfig

    from rephrase_rl.guidance.blocks import Guidance
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


def correctness_index(guidance: Guidance, names: Sequence[str]) -> int:
    """Column of the reward that decides failure.

    Raises:
        ConfigError: There are several rewards and none, or an unknown one, is named.
    """
    if guidance.correctness is None:
        if len(names) > 1 and guidance.active:
            raise ConfigError(
                f"found {len(names)} reward functions ({', '.join(names)}) and no "
                "guidance.correctness; the gate has to know which one decides whether a rollout "
                f"failed: set guidance.correctness to one of {', '.join(names)}"
            )
        return 0
    if guidance.correctness not in names:
        raise ConfigError(
            f"guidance.correctness is {guidance.correctness!r}, but the reward functions are "
            f"{', '.join(names)}; name one of them"
        )
    return list(names).index(guidance.correctness)


def split_group_fault(args: GRPOConfig) -> str | None:
    """Why groups would not be whole on one process; None if they are."""
    per_process = args.per_device_train_batch_size * args.steps_per_generation
    if per_process % args.num_generations == 0:
        return None
    return (
        f"per_device_train_batch_size * steps_per_generation is {per_process}, not a multiple of "
        f"num_generations = {args.num_generations}, so groups would be split over processes; "
        "choose a multiple"
    )


def refuse_unsupported(trainer: RePOTrainer) -> None:
    """Refuse every setting under which groups could not be formed or candidates not be judged.

    Raises:
        ConfigError: With all faults.
    """
    args: GRPOConfig = trainer.args
    faults = [fault for fault in (split_group_fault(args),) if fault]
    if trainer.multi_objective_aggregation == "normalize_then_sum" and (
        trainer.scale_rewards != "group"
    ):
        faults.append(
            f"scale_rewards is {trainer.scale_rewards!r} with normalize_then_sum, which always "
            "divides by the group's and then by the batch's spread: set it to 'group'"
        )
    if trainer.guidance.active:
        if trainer.tools or trainer.environment_factories is not None:
            faults.append(
                "tools or environment_factory are set; a rewrite cannot be replayed in an "
                "environment, so its reward would be another completion's: remove them or use "
                "guidance=None"
            )
        if trainer._is_vlm:
            faults.append(
                "the model has an image processor; rewriting prompts with images is not supported: "
                "use a text model or guidance=None"
            )
        if trainer.use_vllm and args.vllm_enable_sleep_mode:
            faults.append(
                "vllm_enable_sleep_mode is on; the second generation call of a step would push all "
                "weights again: set vllm_enable_sleep_mode=False"
            )
    if faults:
        raise ConfigError("RePOTrainer cannot run with these settings", faults)
