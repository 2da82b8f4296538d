"""Settings of TRL under which guidance cannot work, refused before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datasets import Dataset

from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.memory import needs_expert
from rephrase_rl.guidance.training import ShapedProbability
from rephrase_rl.trainers.trl.stream import refuse_sharded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trl import GRPOConfig

    from rephrase_rl.guidance.blocks import Guidance
    from rephrase_rl.trainers.trl.trainer import RePOTrainer


TOKEN_SURROGATE_LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo")
"""TRL's loss types with a clipped surrogate per token."""


def correctness_index(guidance: Guidance, names: Sequence[str], dataset: str = "") -> int:
    """Column of the reward that decides failure in a data set.

    Raises:
        ConfigError: There are several rewards and none, or an unknown one, is named.
    """
    named = guidance.correctness_of.get(dataset, guidance.correctness)
    if named is None:
        if len(names) > 1 and guidance.active:
            raise ConfigError(
                f"found {len(names)} reward functions ({', '.join(names)}) and no "
                "guidance.correctness; the gate has to know which one decides whether a rollout "
                f"failed: set guidance.correctness to one of {', '.join(names)}"
            )
        return 0
    if named not in names:
        raise ConfigError(
            f"guidance.correctness is {named!r}, but the reward functions are {', '.join(names)}; "
            "name one of them"
        )
    return list(names).index(named)


class CorrectnessColumns:
    """Column of the reward that decides failure, by data set; faults are told at once."""

    def __init__(self, guidance: Guidance, names: Sequence[str]) -> None:
        """Args: the guidance, and the names of the reward functions in order.

        Raises:
            ConfigError: See ``correctness_index``.
        """
        self._guidance, self._names = guidance, tuple(names)
        for dataset in guidance.correctness_of or ("",):
            correctness_index(guidance, names, dataset)

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """The column for each dataset row."""
        datasets = [str(row.get("dataset") or "") for row in rows]
        columns = {
            dataset: correctness_index(self._guidance, self._names, dataset)
            for dataset in set(datasets)
        }
        return [columns[dataset] for dataset in datasets]


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
    faults += [fault for fault in (too_few_problems(trainer),) if fault]
    if trainer.guidance.active:
        faults += [fault for fault in (no_experts(trainer),) if fault]
        faults += _engine_faults(trainer)
        faults += _train_rule_faults(trainer)
        faults += _stream_faults(trainer)
    if trainer.guidance.no_spread == "resample" and not hasattr(trainer.train_dataset, "__len__"):
        faults.append(
            "no_spread is 'resample' and the training set is a stream without a length; further "
            "problems are drawn from it by index: load it whole or set no_spread to keep or drop"
        )
    if faults:
        raise ConfigError("RePOTrainer cannot run with these settings", faults)


def no_experts(trainer: RePOTrainer) -> str | None:
    """Why guidance would never bring anything in; None if it may, or if it cannot be seen here."""
    data = trainer.train_dataset
    if not needs_expert(trainer.guidance.source) or not isinstance(data, Dataset):
        return None
    if "expert_solution" not in data.column_names:
        found = f"the columns {', '.join(data.column_names) or '(none)'}"
    elif all(text is None for text in data["expert_solution"]):
        found = "nothing but None in the column expert_solution"
    else:
        return None
    return (
        f"the training set has {found}, and the source brings in nothing for a problem without an "
        "expert solution, so all would be trained as in GRPO; put the texts into a column "
        "expert_solution, or give no guidance"
    )


def too_few_problems(trainer: RePOTrainer) -> str | None:
    """Why no step would ever be taken; None if steps are.

    TRL fills generation batches with different problems and leaves an unfilled one out, so a data
    set that fills none is trained on without a step and without a word.
    """
    args: GRPOConfig = trainer.args
    data = trainer.train_dataset
    if data is None or not hasattr(data, "__len__"):
        return None
    needed = args.generation_batch_size // args.num_generations
    if len(data) >= needed:
        return None
    return (
        f"the training set has {len(data)} problems, and a generation batch takes {needed} "
        f"different ones (per_device_train_batch_size * steps_per_generation * processes / "
        "num_generations): add problems, or make the batch smaller"
    )


def _engine_faults(trainer: RePOTrainer) -> list[str]:
    """Settings under which a candidate could not be sampled or judged."""
    faults = []
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
    if trainer.use_vllm and trainer.args.vllm_enable_sleep_mode:
        faults.append(
            "vllm_enable_sleep_mode is on; the second generation call of a step would push all "
            "weights again: set vllm_enable_sleep_mode=False"
        )
    return faults


def _train_rule_faults(trainer: RePOTrainer) -> list[str]:
    """Train rules and losses of TRL that make no sense together."""
    rule = trainer.guidance.train
    name = type(rule).__name__
    faults = []
    if isinstance(rule, ShapedProbability) and trainer.importance_sampling_level != "token":
        faults.append(
            f"{name} gives every token a weight of its own, p / (p + gamma), in place of a ratio; "
            "importance_sampling_level 'sequence' (GSPO) has one ratio for a whole row, so the two "
            "would not be on one scale: set it to 'token', or train injected text by clipped_ratio"
        )
    if isinstance(rule, ShapedProbability) and trainer.loss_type not in TOKEN_SURROGATE_LOSSES:
        faults.append(
            f"{name} was made for the clipped surrogate; found loss_type {trainer.loss_type!r}, "
            f"required one of {', '.join(TOKEN_SURROGATE_LOSSES)}"
        )
    if not (rule.has_own_loss or rule.weighs_tokens):
        return faults
    if trainer.loss_type in ("sapo", "luspo", "vespo"):
        faults.append(
            f"{name} needs a weight per token, and loss_type {trainer.loss_type!r} weighs whole "
            "rows: use grpo, dr_grpo, dapo, bnpo or cispo, or train injected text by clipped_ratio"
        )
    if trainer.off_policy_mask_threshold is not None:
        faults.append(
            f"off_policy_mask_threshold is set; it masks whole rows by the sign of one advantage, "
            f"and {name} has one per token: leave it out or train by clipped_ratio"
        )
    if rule.normalisation == "separate" and trainer.loss_type == "bnpo":
        faults.append(
            "train.normalisation is 'separate' with loss_type 'bnpo', which divides by the tokens "
            "of a micro-batch, so injected tokens would weigh differently in each: use dapo"
        )
    if rule.has_own_loss and trainer.top_entropy_quantile < 1.0:
        faults.append(
            f"top_entropy_quantile is {trainer.top_entropy_quantile}; it chooses tokens of the "
            f"surrogate, and {name} would train all injected ones: set it to 1"
        )
    return faults


def _stream_faults(trainer: RePOTrainer) -> list[str]:
    """A slot outside the group and the stream belong together."""
    slot = trainer.guidance.slot
    placed_outside = slot is not None and slot.placement == "stream"
    if placed_outside != (trainer.stream is not None):
        return [
            f"found slot {type(slot).__name__} and stream {type(trainer.stream).__name__}; a slot "
            "with the placement 'stream' needs stream=JointStream(...) or BufferedStream(...), and "
            "any other slot has none: give both or neither"
        ]
    if trainer.stream is None:
        return []
    if not trainer.guidance.train.has_own_loss:
        return [
            f"train is {type(trainer.guidance.train).__name__}, which needs a group's advantage; a "
            "stream has no groups: use NegativeLogLikelihood or PhiWeightedNll"
        ]
    refuse_sharded(trainer)
    return []
