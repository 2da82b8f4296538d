"""From a method's name and a user's overrides to a complete configuration.

Torch-free, so methods can be listed and configurations resolved on any machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from rephrase_rl.config import (
    GuidanceConfig,
    ReservedSlot,
    RunConfig,
    merge_blocks,
    parse_guidance,
)
from rephrase_rl.errors import ConfigError
from rephrase_rl.presets import PRESETS, Preset

__all__ = [
    "PRESETS",
    "TRAINER_DEFAULTS",
    "Preset",
    "get_preset",
    "resolve_config",
    "resolve_guidance",
]

TRAINER_DEFAULTS: Mapping[str, Any] = {
    # Sampling: the paper samples at T = 1 without truncating the distribution.
    "num_generations": 8,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "max_completion_length": 256,
    # Loss: token mean over the batch, as verl's default, in which the paper was run.
    "loss_type": "dapo",
    "epsilon": 0.2,
    "epsilon_high": None,
    "delta": None,
    "importance_sampling_level": "token",
    "multi_objective_aggregation": "sum_then_normalize",
    "beta": 0.0,
    "entropy_coef": 0.0,
    "num_iterations": 1,
    "mask_truncated_completions": False,
    # Optimiser: the paper's rate, constant.
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "disable_dropout": True,
    "optim": "adamw_torch_fused",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "shuffle_dataset": True,
    "num_train_epochs": 1.0,
    "use_bias_correction_kl": True,
    "save_strategy": "no",
}
"""Defaults of TRL's that results depend on, said explicitly, so that none changes unseen. Number
formats (``bf16``) depend on the machine and are recorded in each run's manifest."""


def get_preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see `rephrase-rl methods`"
        raise ConfigError(
            f"method: found {name!r}, required is one of {', '.join(PRESETS)}; {hint}"
        )
    return PRESETS[name]


def resolve_guidance(method: str, overrides: Mapping[str, Any]) -> GuidanceConfig:
    """Blocks of a method with a user's overrides laid over them, complete and validated.

    Raises:
        ConfigError: The method is unknown or the result is not valid.
    """
    blocks = merge_blocks(get_preset(method).blocks, overrides)
    return parse_guidance(blocks)


def resolve_config(config: RunConfig) -> RunConfig:
    """The same run with every default filled in; resolving it again changes nothing.

    Raises:
        ConfigError: The method is unknown or its overrides are not valid.
    """
    preset = get_preset(config.method)
    guidance = resolve_guidance(config.method, config.guidance)
    trainer = {**TRAINER_DEFAULTS, **preset.trainer, **config.trainer}
    if guidance.slot.kind == "append":
        # From here on the appended place is one of the group's own, so that nothing downstream
        # has to know two group sizes, and resolving again adds no further place.
        guidance = guidance.model_copy(update={"slot": ReservedSlot()})
        trainer["num_generations"] += 1
    return config.model_copy(
        update={"guidance": guidance.model_dump(mode="json"), "trainer": trainer}
    )
