"""From the ``trainer:`` section of a configuration to TRL's ``GRPOConfig``."""

from __future__ import annotations

import dataclasses
import difflib
import os
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import torch
from trl import GRPOConfig

from rephrase_rl.errors import ConfigError
from rephrase_rl.trainers.trl.checks import split_group_fault
from rephrase_rl.trainers.trl.loggers import logger_faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import TrainingArguments

RESERVED = {
    "output_dir": "output_dir (top level)",
    "seed": "seed (top level)",
    "data_seed": "seed (top level)",
    "scale_rewards": "guidance.advantages.scale",
    "reward_weights": "rewards[].weight",
    "model_init_kwargs": "model",
    "logging_steps": "nothing: every step is recorded",
    "logging_strategy": "nothing: every step is recorded",
    "disable_tqdm": "nothing: the command line has its own display",
    "remove_unused_columns": "nothing: rewards need every column",
}
"""Fields that have one other place in the configuration; two places would contradict each other."""
_PLAIN_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
WITH_A_WORD_NO = ("save_strategy", "eval_strategy")
"""Fields with a choice ``no``, which without quotes is false in YAML."""


def grpo_arguments(
    trainer: Mapping[str, Any],
    *,
    output_dir: str,
    seed: int,
    scale_rewards: str,
    reward_weights: list[float],
) -> GRPOConfig:
    """Build TRL's arguments; on a machine without a GPU its GPU defaults are replaced.

    Args:
        trainer: Fields of ``GRPOConfig`` by name.
        output_dir: Where TRL writes checkpoints.
        seed: Seed of the run.
        scale_rewards: ``group``, ``batch`` or ``none``.
        reward_weights: One weight per reward function.

    Raises:
        ConfigError: A field is unknown, or has its place elsewhere, or TRL refuses the values.
    """
    check_fields(trainer, (GRPOConfig,))
    given = with_the_word_no(trainer)
    defaults = machine_defaults() | sampler_defaults(given) | logger_defaults(output_dir)
    values: dict[str, Any] = defaults | given
    try:
        arguments = GRPOConfig(
            output_dir=output_dir,
            seed=seed,
            scale_rewards=scale_rewards,
            reward_weights=reward_weights,
            logging_steps=1,
            disable_tqdm=True,
            remove_unused_columns=False,
            **values,
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"TRL refuses the trainer section ({error}); change what it names"
        ) from error
    faults = [f for f in (split_group_fault(arguments), sharding_fault(arguments)) if f]
    if faults:
        raise ConfigError("the trainer section is not valid", faults)
    return arguments


def with_the_word_no(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The section with ``no`` where YAML made it false, as in ``--set trainer.save_strategy=no``.

    Example:
        >>> with_the_word_no({"save_strategy": False, "bf16": False})
        {'save_strategy': 'no', 'bf16': False}
    """
    return {
        name: "no" if value is False and name in WITH_A_WORD_NO else value
        for name, value in trainer.items()
    }


def sharding_fault(arguments: TrainingArguments) -> str | None:
    """Why weights would not be divided although that was asked for; None if they are or need not.

    Accelerate 1.x (``AcceleratorState``) turns FSDP on for processes with accelerators alone, and
    trains without it on CPUs, without a word.
    """
    asked = arguments.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if not asked or not arguments.use_cpu:
        return None
    return (
        "FSDP is asked for (trainer.fsdp or ACCELERATE_USE_FSDP) on CPUs, where accelerate does "
        "not divide weights, so every process would hold all of them: leave it out, or use GPUs"
    )


def check_fields(
    trainer: Mapping[str, Any],
    config_classes: tuple[type, ...],
    reserved: Mapping[str, str] = RESERVED,
) -> None:
    """Refuse names that none of TRL's configurations knows, or that have their place elsewhere.

    Args:
        trainer: The ``trainer`` section.
        config_classes: Dataclasses of TRL any of which may know a field.
        reserved: Field -> where it belongs.

    Raises:
        ConfigError: With all faults.
    """
    known = {f.name for cls in config_classes for f in dataclasses.fields(cls) if f.init}
    faults = logger_faults(trainer.get("report_to"))
    where = " or ".join(f"trl.{cls.__name__}" for cls in config_classes)
    for name in trainer:
        if name in reserved:
            faults.append(f"trainer.{name} is set elsewhere; use {reserved[name]}")
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean trainer.{close[0]}?" if close else "see TRL's documentation"
            faults.append(f"trainer.{name} is not a field of {where}; {hint}")
    faults += type_faults(trainer, config_classes)
    if faults:
        raise ConfigError("the trainer section is not valid", faults)


def type_faults(trainer: Mapping[str, Any], config_classes: tuple[type, ...]) -> list[str]:
    """Text where a number or a yes or no has to be, which TRL takes and fails on in the middle."""
    faults = []
    for cls in config_classes:
        for name, hint in get_type_hints(cls).items():
            kinds = set(get_args(hint) or (hint,)) - {NoneType}
            if isinstance(trainer.get(name), str) and kinds and kinds <= set(_PLAIN_KINDS):
                words = " or ".join(_PLAIN_KINDS[kind] for kind in _PLAIN_KINDS if kind in kinds)
                faults.append(
                    f"trainer.{name}: found {trainer[name]!r}; required: {words}; do this: change "
                    "the value"
                )
    return list(dict.fromkeys(faults))


def logger_defaults(output_dir: str) -> dict[str, Any]:
    """No tracker unless one is asked for; there a run has the name of its directory."""
    return {"report_to": "none", "run_name": Path(output_dir).parent.name}


def sampler_defaults(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM and the trainer round differently is corrected token by token.

    By default TRL weighs a whole row by the product of its tokens' ratios, and leaves it out above
    3. Injected rows keep a weight of 1, and that of an own one falls with its length: where log-
    probs differ by 0.03 a token (normal, mean ratio 1) the median is exp(-T 0.03^2 / 2), 0.32 of
    2,500 tokens and 0.025 of 8,192, so failed rollouts would hardly be trained on.
    """
    return {"vllm_importance_sampling_mode": "token_truncate"} if trainer.get("use_vllm") else {}


def machine_defaults() -> dict[str, Any]:
    """TRL's defaults assume a GPU (bf16, checkpointing); say explicitly what a CPU needs.

    Whether a CPU should compute in bf16 depends on the model: ``precision.bf16_pays``.
    """
    if torch.cuda.is_available():
        return {"bf16": torch.cuda.is_bf16_supported()}
    return {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
