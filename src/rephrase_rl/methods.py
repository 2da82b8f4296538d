"""Presets: each method as data over the same five blocks.

A preset is what ``method: NAME`` in a configuration stands for; every field of it can be overridden
under ``guidance:`` and ``trainer:``. Torch-free, so methods can be listed and configurations
resolved on any machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rephrase_rl.config import GuidanceConfig, RunConfig, merge_blocks, parse_guidance
from rephrase_rl.errors import ConfigError

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


@dataclass(frozen=True, slots=True)
class Preset:
    """One method: its blocks, what it differs in from the trainer's defaults, and its source."""

    name: str
    summary: str
    """One sentence."""
    paper: str
    """arXiv id and section of the method."""
    blocks: Mapping[str, Any]
    """A part of ``GuidanceConfig``; what is missing has that model's default."""
    trainer: Mapping[str, Any]
    """Fields of TRL's ``GRPOConfig`` in which the method differs from ``TRAINER_DEFAULTS``."""
    deviations: tuple[str, ...]
    """Where ours is known to differ from the paper or its code, one sentence each."""


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="grpo",
            summary="Group-relative policy optimisation; no expert knowledge enters.",
            paper="arXiv:2402.03300, section 4.1",
            blocks={"gate": {"kind": "never"}, "source": {"kind": "none"}},
            trainer={},
            deviations=(
                "Token mean over the batch and no KL term (the DAPO loss), where the paper has a "
                "sequence mean and KL 0.04; set trainer.loss_type and trainer.beta for those.",
                "A group whose rewards are all equal gets exactly 0, by comparison.",
            ),
        ),
        Preset(
            name="repo",
            summary=(
                "Where all rollouts fail, the policy rewrites the expert solution in its own words "
                "and that trajectory takes the place of the worst rollout."
            ),
            paper="arXiv:2602.10819, section 3",
            blocks={
                "gate": {"kind": "failed_share", "gate_failure_fraction": 1.0},
                "source": {"kind": "rephrase"},
                "accept": ["reward_above_replaced", "finished", "no_meta_text"],
                "slot": {"kind": "replace_worst"},
                "train": {"kind": "clipped_ratio"},
            },
            trainer={},
            deviations=(
                "The rephrase prompt is ours; the paper does not publish its text.",
                "A rewrite enters only if its reward exceeds that of the rollout it replaces; "
                "readers disagree on whether the paper asks for it (guidance.accept).",
                "Rewrites are sampled only for open gates; the paper forms one for every prompt "
                "(guidance.source.sampling: eager).",
                "Failure threshold 0.5 and failed share 1.0 are ours; the paper does not state "
                "them.",
            ),
        ),
    )
}
"""All shipped methods by name."""


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
    return config.model_copy(
        update={"guidance": guidance.model_dump(mode="json"), "trainer": trainer}
    )
