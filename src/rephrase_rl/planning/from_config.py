"""From a run's configuration to a plan's input, with the origin of every figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rephrase_rl.config import parse_guidance
from rephrase_rl.errors import ConfigError
from rephrase_rl.planning.devices import Fact, Origin
from rephrase_rl.planning.setting import Computing, Mode, Number, Sampler, Workload
from rephrase_rl.planning.shape import FUSED, SEVEN, ModelShape

if TYPE_CHECKING:
    from rephrase_rl.config import GuidanceConfig, PlanConfig, RunConfig, ShapeConfig

EXPECTED_OPEN_SHARE = 0.3
"""Where neither the configuration nor the data says how hard the problems are."""
VLLM_MEMORY_SHARE = 0.3
"""TRL's default of ``vllm_gpu_memory_utilization`` (a test compares them)."""
SPLITTABLE_LOSSES = ("grpo", "dr_grpo", "dapo", "cispo")
"""Loss types for which rows without a gradient stay out of the pass; a test compares this with the
trainer's list."""

PLANNED_LAYERS = (*SEVEN, *FUSED)
"""Matrices of a layer that adapters can be planned on."""


@dataclass(frozen=True, slots=True)
class DataLengths:
    """Mean lengths in tokens of a sample of the training problems; None: not in the data."""

    prompt_tokens: float | None = None
    context_tokens: float | None = None
    expert_tokens: float | None = None
    open_share: float | None = None
    """Share of groups that fail completely by the problems' pass rates."""
    problems: int | None = None
    """Problems of the whole data."""
    verifiers: tuple[str, ...] = ()
    """Names of those that judge completions."""
    source: str = ""
    """What was measured, or why nothing was."""
    estimated: bool = False
    """Whether lengths were estimated for want of a tokenizer."""


@dataclass(slots=True)
class _Gathered:
    """Figures as they are found, and what is missing."""

    facts: list[Fact] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def take(self, name: str, options: tuple[tuple[float | None, Origin, str], ...]) -> float:
        """The first figure that is there."""
        for value, origin, source in options:
            if value is not None:
                self.facts.append(Fact(name.replace("_", " "), f"{value:.4g}", origin, source))
                return value
        self.faults.append(
            f"{name} cannot be read from the data ({options[-1][2]}); do this: set plan.{name}"
        )
        return math.nan


def shape_of(sizes: ShapeConfig) -> ModelShape:
    """Sizes that a configuration spells out."""
    return ModelShape(
        name="plan.shape",
        layers=sizes.layers,
        hidden=sizes.hidden,
        heads=sizes.heads,
        kv_heads=sizes.kv_heads or sizes.heads,
        head_dim=sizes.head_dim or sizes.hidden // sizes.heads,
        intermediate=sizes.intermediate,
        vocab=sizes.vocab,
        tied=sizes.tied,
        qkv_bias=sizes.qkv_bias,
    )


def computing_of(config: RunConfig) -> Computing:
    """How the run is computed on the planned device.

    Args:
        config: Resolved.

    Raises:
        ConfigError: The sampler does not go with the device or with split weights.
    """
    plan, trainer, compute = config.plan, config.trainer, config.compute
    on_gpu = plan.device != "this"
    if trainer.get("use_vllm") and not on_gpu:
        raise ConfigError(
            "found trainer.use_vllm with plan.device 'this'; vLLM is planned for on GPUs only: "
            "name one in plan.device, or set trainer.use_vllm to false"
        )
    if plan.sharding == "fsdp" and compute.sampler == "shared_prefix":
        raise ConfigError(
            "found compute.sampler 'shared_prefix' with plan.sharding 'fsdp'; split weights need "
            "equally many passes on every device: set compute.sampler to auto or generate"
        )
    plain = on_gpu or plan.sharding == "fsdp"
    automatic: Sampler = "generate" if plain else "shared_prefix"
    sampler: Sampler = automatic if compute.sampler == "auto" else compute.sampler
    if trainer.get("use_vllm"):
        sampler = "vllm"
    return Computing(
        sampler=sampler,
        packed=compute.forward == "packed" or (compute.forward == "auto" and not on_gpu),
        skips_untrained=compute.skip_untrained and _advantage_alone_trains(trainer),
        arithmetic=_arithmetic(config, on_gpu),
        weights="float32" if config.model.dtype == "float32" else "bfloat16",
        checkpointing=bool(trainer.get("gradient_checkpointing", on_gpu)),
        **_adapters(config),
        sharding=plan.sharding,
        vllm_memory_share=float(trainer.get("vllm_gpu_memory_utilization", VLLM_MEMORY_SHARE)),
    )


def _adapters(config: RunConfig) -> dict[str, Any]:
    """Fields of ``Computing`` about adapters; a rank under ``plan`` is one on every matrix.

    Raises:
        ConfigError: ``model.lora`` names layers whose sizes are not known.
    """
    lora, rank = config.model.lora, config.plan.lora_rank
    if rank is not None or lora is None:
        return {"lora_rank": rank}
    unknown = [name for name in lora.target_modules if name not in PLANNED_LAYERS]
    if unknown and not lora.takes_all_linear:
        raise ConfigError(
            f"found {', '.join(unknown)} in model.lora.target_modules, whose sizes are not known; "
            f"required: some of {', '.join(PLANNED_LAYERS)}, or all-linear; do this: set "
            "plan.lora_rank, which plans for adapters on every matrix"
        )
    return {
        "lora_rank": lora.r,
        "lora_layers": () if lora.takes_all_linear else lora.target_modules,
        "four_bits": config.model.load_in_4bit,
    }


def _arithmetic(config: RunConfig, on_gpu: bool) -> Number:
    trainer = config.trainer
    if config.plan.arithmetic is not None:
        return config.plan.arithmetic
    half = trainer.get("bf16", on_gpu) or trainer.get("fp16") or config.model.dtype != "float32"
    return "bfloat16" if half else "float32"


def _advantage_alone_trains(trainer: Mapping[str, Any]) -> bool:
    return (
        trainer.get("loss_type") in SPLITTABLE_LOSSES
        and not trainer.get("beta")
        and not trainer.get("entropy_coef")
        and trainer.get("top_entropy_quantile", 1.0) == 1.0
        and trainer.get("off_policy_mask_threshold") is None
    )


def workload_of(
    config: RunConfig, lengths: DataLengths, verify_s: Mapping[str, float] | None = None
) -> tuple[Workload, list[Fact]]:
    """What one optimiser step of ``plan.devices`` processes has to do.

    Args:
        config: Resolved.
        lengths: What the data says.
        verify_s: Seconds of one verdict by verifier, as measured on this machine.

    Raises:
        ConfigError: The method samples no rollouts, groups would be split, or a length is neither
            given nor measured; all faults at once.
    """
    plan, trainer = config.plan, config.trainer
    guidance = parse_guidance(config.guidance)
    gathered = _Gathered()
    batch = _batches(trainer, plan.devices, gathered)
    tokens = _lengths(plan, float(trainer["max_completion_length"]), lengths, gathered)
    mode = _mode(guidance, gathered)
    open_share = _open_share(plan, guidance, mode, lengths, gathered)
    trained = gathered.take(
        "expected_trained_share",
        (
            (plan.expected_trained_share, "configured", "plan"),
            (1.0 - open_share, "assumed", "groups whose gate stays closed"),
        ),
    )
    if gathered.faults:
        raise ConfigError("the run cannot be planned", gathered.faults)
    work = Workload(
        **batch,
        **tokens,
        mode=mode,
        open_share=open_share,
        accepted_share=plan.expected_accepted_share,
        trained_share=trained,
        candidates=int(getattr(guidance.source, "num_candidates", 1)),
        samples_candidates=hasattr(guidance.source, "sampling") or guidance.source.kind == "custom",
        reference_logps=bool(trainer.get("beta")),
        expert_every=guidance.expert_logp_every if mode != "none" else 0,
        verify_s=_verify_s(plan, lengths.verifiers, verify_s or {}, gathered),
    )
    if mode != "none":
        accepted = f"{plan.expected_accepted_share:g}"
        given = "expected_accepted_share" in plan.model_fields_set
        origin: Origin = "configured" if given else "assumed"
        gathered.facts.append(Fact("expected accepted share", accepted, origin, "plan"))
    return work, gathered.facts


def _verify_s(
    plan: PlanConfig, names: tuple[str, ...], known: Mapping[str, float], gathered: _Gathered
) -> float:
    measured = [known[name] for name in names if name in known]
    total = sum(measured) if measured else None
    unknown = ", ".join(name for name in names if name not in known) or "no verifier is named"
    return gathered.take(
        "verify_s",
        (
            (plan.verify_s, "configured", "plan"),
            (total, "measured", f"{' and '.join(names)}, this machine's CPU"),
            (0.0, "assumed", f"never measured here: {unknown}"),
        ),
    )


def _batches(trainer: Mapping[str, Any], processes: int, gathered: _Gathered) -> dict[str, Any]:
    """Rows and problems of one step of all processes.

    As in TRL the trainer's fields are those of one process, but for ``generation_batch_size``.
    """
    rows, group = trainer["per_device_train_batch_size"], trainer["num_generations"]
    accumulation = trainer["gradient_accumulation_steps"]
    per_generation = trainer.get("steps_per_generation") or accumulation
    if trainer.get("generation_batch_size"):
        per_generation = trainer["generation_batch_size"] // (rows * processes)
    sampled = rows * per_generation
    if sampled % group:
        gathered.faults.append(
            f"per_device_train_batch_size * steps_per_generation is {sampled}, not a multiple of "
            f"num_generations = {group}; do this: choose a multiple"
        )
    serves = per_generation * trainer["num_iterations"]
    corrects = trainer.get("use_vllm") and trainer.get("vllm_importance_sampling_correction", True)
    return {
        "problems": sampled * processes / group,
        "group_size": group,
        "rows_per_step": rows * accumulation * processes,
        "micro_batch_rows": rows,
        "generations_per_step": accumulation / serves,
        "old_logps": bool(accumulation % serves != 0 or corrects),
    }


def _lengths(
    plan: PlanConfig, limit: float, lengths: DataLengths, gathered: _Gathered
) -> dict[str, Any]:
    where = lengths.source
    read: Origin = "assumed" if lengths.estimated else "measured"
    prompt = gathered.take(
        "prompt_tokens",
        ((plan.prompt_tokens, "configured", "plan"), (lengths.prompt_tokens, read, where)),
    )
    expert = None if lengths.expert_tokens is None else min(limit, lengths.expert_tokens)
    completion = gathered.take(
        "completion_tokens",
        (
            (plan.completion_tokens, "configured", "plan"),
            (expert, "assumed", f"as long as the expert's texts: {where}"),
            (limit, "assumed", "trainer.max_completion_length: no expert text was read"),
        ),
    )
    longest = gathered.take(
        "longest_completion_tokens",
        (
            (plan.longest_completion_tokens, "configured", "plan"),
            (max(limit, completion), "assumed", "trainer.max_completion_length"),
        ),
    )
    context = gathered.take(
        "context_tokens",
        (
            (plan.context_tokens, "configured", "plan"),
            (lengths.context_tokens, read, where),
            (prompt + completion, "assumed", "prompt and a text as long as a completion"),
        ),
    )
    rewrite = gathered.take(
        "rewrite_tokens",
        (
            (plan.rewrite_tokens, "configured", "plan"),
            (completion, "assumed", "as long as a completion"),
        ),
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "longest_completion_tokens": max(longest, completion),
        "context_tokens": context,
        "rewrite_tokens": rewrite,
    }


def _mode(guidance: GuidanceConfig, gathered: _Gathered) -> Mode:
    if guidance.slot.kind == "dataset":
        gathered.faults.append(
            "slot.kind is 'dataset': supervised fine-tuning samples no rollouts and has no such "
            "phases; do this: plan a method that samples (`rephrase-rl methods`)"
        )
    if guidance.source.kind == "none" or guidance.gate.kind == "never":
        return "none"
    mode: Mode = getattr(guidance.source, "sampling", "lazy")
    return mode


def _open_share(
    plan: PlanConfig,
    guidance: GuidanceConfig,
    mode: Mode,
    lengths: DataLengths,
    gathered: _Gathered,
) -> float:
    if mode == "none":
        return plan.expected_open_share or 0.0
    always = 1.0 if guidance.gate.kind == "always" else None
    return gathered.take(
        "expected_open_share",
        (
            (plan.expected_open_share, "configured", "plan"),
            (always, "counted", "guidance.gate.kind always"),
            (lengths.open_share, "measured", f"pass rates: {lengths.source}"),
            (EXPECTED_OPEN_SHARE, "assumed", "planning/from_config.py"),
        ),
    )


def steps_of(config: RunConfig, work: Workload, problems: int | None) -> int | None:
    """Optimiser steps of the run; None where the size of the data is not known.

    Args:
        config: Resolved.
        work: Of one step.
        problems: Of the whole data.
    """
    given = int(config.trainer.get("max_steps") or 0)
    if given > 0:
        return given
    if problems is None:
        return None
    batches = problems // work.problems  # TRL leaves out what does not fill one
    per_epoch = math.ceil(batches / work.generations_per_step)
    return math.ceil(config.trainer["num_train_epochs"] * per_epoch)
