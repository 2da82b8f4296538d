"""What of a run has no counterpart in verl, said before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.mixture import gates_of_sets
from rephrase_rl.assembly.verl.adapters import adapter_faults
from rephrase_rl.config import ComputeConfig, GuardsConfig
from rephrase_rl.methods import TRAINER_DEFAULTS
from rephrase_rl.trainers.verl.group_at_a_time import guidance_faults

if TYPE_CHECKING:
    from rephrase_rl.config import GuidanceConfig, RunConfig
    from rephrase_rl.guidance.blocks import Guidance

LOSSES = {
    "dapo": "token-mean",
    "grpo": "seq-mean-token-mean",
    "dr_grpo": "seq-mean-token-sum-norm",
}
"""TRL's loss types -> verl's ``loss_agg_mode``."""
ONLY: Mapping[str, Any] = {
    "importance_sampling_level": "token",
    "multi_objective_aggregation": "sum_then_normalize",
    "mask_truncated_completions": False,
    "min_p": None,
    "repetition_penalty": 1.0,
    "adam_epsilon": 1e-8,
    "top_entropy_quantile": 1.0,
}
"""Fields of TRL's with the one value that has a counterpart in verl."""
OF_TRL_ALONE = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "steps_per_generation",
    "generation_batch_size",
    "disable_dropout",
    "bf16",
    "fp16",
    "tf32",
    "use_cpu",
    "use_vllm",
    "use_bias_correction_kl",
    "ddp_backend",
    "ddp_timeout",
    "deepspeed",
    "fsdp",
    "fsdp_config",
    "dataloader_num_workers",
)
"""Fields about TRL's processes and batches; under verl those of ``verl:`` stand for them."""


def faults_of(config: RunConfig, guidance: GuidanceConfig) -> list[str]:
    """Everything for which a run is refused.

    Args:
        config: Resolved.
        guidance: Its method.
    """
    trainer = dict(config.trainer)
    return [
        *(_method_faults(config, guidance) or guidance_faults(blocks_of(config, guidance))),
        *adapter_faults(config),
        *_trainer_faults(trainer),
        *_schedule_faults(trainer),
        *_rule_faults(config),
        *_size_faults(config, trainer),
    ]


def blocks_of(config: RunConfig, guidance: GuidanceConfig) -> Guidance:
    """The method's blocks, as verl's processes build them."""
    return build_guidance(guidance, config.prompts, None, gates_of_sets(config, guidance))


def unused_fields(config: RunConfig) -> list[str]:
    """What a user has set and verl does not do, though the run can go on without it."""
    trainer = dict(config.trainer)
    unused = [
        f"trainer.{name}"
        for name in trainer
        if (name in OF_TRL_ALONE or name.startswith("vllm_"))
        and trainer[name] != TRAINER_DEFAULTS.get(name)
    ]
    for part, found, default in (
        ("compute", config.compute, ComputeConfig()),
        ("guards", config.guards, GuardsConfig()),
    ):
        names = type(found).model_fields
        unused += [f"{part}.{n}" for n in names if getattr(found, n) != getattr(default, n)]
    rules = {"keep_best": config.evaluation.keep_best, "retention": config.evaluation.retention}
    return unused + [f"evaluation.{name}" for name, rule in rules.items() if rule is not None]


def _method_faults(config: RunConfig, guidance: GuidanceConfig) -> list[str]:
    """Methods and sources of weights that verl's trainer has no place for."""
    faults = []
    if guidance.slot.kind in ("dataset", "stream_buffer", "stream_joint"):
        faults.append(
            f"guidance.slot.kind is {guidance.slot.kind!r}, supervised training beside or in the "
            "place of groups; train it with TRL (without --engine verl)"
        )
    temperature = config.trainer["temperature"]
    if config.log.token_logps == "all" and temperature != 1.0:  # noqa: S105  (no key)
        faults.append(
            "log.token_logps is 'all', and verl's servers measure refused candidates at "
            f"temperature 1, not at trainer.temperature {temperature}; write 'accepted'"
        )
    if config.model.dtype not in ("float32", "bfloat16"):
        faults.append(
            f"model.dtype is {config.model.dtype!r}, and verl is told a format: write float32 or "
            "bfloat16"
        )
    for name in ("revision", "gguf_file"):
        if getattr(config.model, name) is not None:
            faults.append(
                f"model.{name} is {getattr(config.model, name)!r}, and verl loads a folder or a "
                "hub id as it is: download the model and give the folder as model.path"
            )
    return faults


def _trainer_faults(trainer: Mapping[str, Any]) -> list[str]:
    """Fields of TRL's without a counterpart, or with another value than the one that has it."""
    faults = [
        f"trainer.{name}: found {trainer[name]!r}; on verl only {value!r} is held equal to TRL; "
        "set it to that"
        for name, value in ONLY.items()
        if name in trainer and trainer[name] != value
    ]
    if trainer["loss_type"] not in LOSSES:
        faults.append(
            f"trainer.loss_type: found {trainer['loss_type']!r}, required: one of "
            f"{', '.join(LOSSES)}, which verl reduces in the same way"
        )
    if trainer["beta"] != 0.0 and trainer.get("use_bias_correction_kl"):
        faults.append(
            f"trainer.beta: found {trainer['beta']} with use_bias_correction_kl, which weighs the "
            "KL term by the ratio; verl does not: set trainer.use_bias_correction_kl: false"
        )
    if not str(trainer["optim"]).startswith("adamw_torch"):
        faults.append(
            f"trainer.optim: found {trainer['optim']!r}; verl trains with AdamW: set it to "
            "adamw_torch"
        )
    known = {*TRANSLATED, *ONLY, *OF_TRL_ALONE}
    unknown = [name for name in trainer if name not in known and not name.startswith("vllm_")]
    faults += [
        f"trainer.{name} has no counterpart that is held equal; leave it out, or set verl's own "
        "field under verl.overrides"
        for name in unknown
    ]
    return faults


def _schedule_faults(trainer: Mapping[str, Any]) -> list[str]:
    """Rates, lengths and checkpoints that verl counts otherwise."""
    faults = []
    if trainer["lr_scheduler_type"] not in ("constant", "cosine"):
        faults.append(
            f"trainer.lr_scheduler_type: found {trainer['lr_scheduler_type']!r}; verl has constant "
            "and cosine: set it to one of them"
        )
    epochs, steps = trainer["num_train_epochs"], trainer.get("max_steps", -1)
    if steps <= 0 and epochs != int(epochs):
        faults.append(
            f"trainer.num_train_epochs: found {epochs}, and verl counts whole epochs; set "
            "trainer.max_steps"
        )
    if trainer["save_strategy"] not in ("no", "steps", False):  # YAML reads no as false
        faults.append(
            f"trainer.save_strategy: found {trainer['save_strategy']!r}; verl saves every so many "
            "steps: write steps with trainer.save_steps, or no"
        )
    for name in ("warmup_steps", "save_steps"):
        if not isinstance(trainer.get(name, 0), int):
            faults.append(
                f"trainer.{name}: found {trainer[name]!r}, a share of the run; verl counts steps: "
                "write a whole number"
            )
    return faults


def _rule_faults(config: RunConfig) -> list[str]:
    """Rules by which TRL's runs end; verl's go on."""
    evaluation, faults = config.evaluation, []
    if evaluation.early_stop is not None:
        faults.append(
            "evaluation.early_stop ends a run by its evaluations, and verl's goes on; leave it "
            "out, and set trainer.max_steps"
        )
    if evaluation.retention is not None and evaluation.retention.stop:
        faults.append(
            "evaluation.retention.stop ends a run by its evaluations, and verl's goes on; leave it "
            "out, and look at val-core/... in the figures"
        )
    return faults


def _size_faults(config: RunConfig, trainer: Mapping[str, Any]) -> list[str]:
    """Sizes that verl's processes would fail on after they have loaded the model."""
    verl, faults = config.verl, []
    if verl.prompts_per_step % verl.prompts_of_an_update:
        faults.append(
            f"verl.prompts_per_update: found {verl.prompts_per_update}, required a divisor of "
            f"verl.prompts_per_step ({verl.prompts_per_step}): verl would fill the last update "
            "with empty rows"
        )
    # Sequences or layers over several GPUs, by verl's own fields, change both of the next counts.
    divides = any("parallel" in name for name in _paths(verl.overrides))
    longest = verl.max_prompt_length + trainer["max_completion_length"]
    if verl.tokens_per_gpu < longest and not divides:
        faults.append(
            f"verl.tokens_per_gpu: found {verl.tokens_per_gpu}, required at least {longest}, the "
            "longest question and completion, which are computed together"
        )
    separate = verl.mode == "separate_async"
    if separate != (verl.rollout_nodes is not None):
        faults.append(
            f"verl.rollout_nodes: found {verl.rollout_nodes} with verl.mode {verl.mode!r}; "
            + (
                "required: the number of machines that sample and do not train"
                if separate
                else "it is for separate_async alone, where machines sample apart: leave it out"
            )
        )
    rows = verl.prompts_of_an_update * trainer["num_generations"]
    gpus = verl.nodes * verl.gpus_per_node
    if rows % gpus and not divides:
        faults.append(
            f"verl.prompts_per_update x trainer.num_generations: found {rows} rows, required a "
            f"multiple of the {gpus} GPUs (verl.nodes x verl.gpus_per_node) that share an update"
        )
    return faults


def _paths(overrides: Mapping[str, Any]) -> list[str]:
    """Names in a user's own settings of verl, those inside mappings too."""
    return [
        found
        for name, value in overrides.items()
        for found in (name, *(_paths(value) if isinstance(value, Mapping) else ()))
    ]


TRANSLATED = (
    "num_generations",
    "temperature",
    "top_p",
    "top_k",
    "max_completion_length",
    "loss_type",
    "epsilon",
    "epsilon_high",
    "delta",
    "beta",
    "entropy_coef",
    "num_iterations",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "optim",
    "adam_beta1",
    "adam_beta2",
    "shuffle_dataset",
    "num_train_epochs",
    "max_steps",
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "gradient_checkpointing",
    "chat_template_kwargs",
)
"""Fields of TRL's that have a counterpart in verl."""
