"""From the validated data of a method to its five blocks as objects."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.imports import import_object
from rephrase_rl.config import PromptsConfig
from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance import acceptance, gates, slots, sources, training
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.guidance.gate_by_dataset import GateByDataset
from rephrase_rl.guidance.memory import CachedSource, ReplaySource
from rephrase_rl.lab.families import lab_steps
from rephrase_rl.lab.problems import TASK_KIND
from rephrase_rl.methods import resolve_guidance
from rephrase_rl.prompts import get_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.config import CustomBlock, GuidanceConfig
    from rephrase_rl.guidance.blocks import AcceptRule, Gate, Slot, Source
    from rephrase_rl.guidance.steps import StepCheck, StepValidity
    from rephrase_rl.guidance.training import TrainRule
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import Problem

SAMPLING_FIELDS = (
    "sampling",
    "num_candidates",
    "choice",
    "temperature",
    "top_p",
    "max_prompt_tokens",
)
"""Fields of a sampled source that belong to the step, not to the source."""

STEP_CHECKS: Mapping[str, StepCheck] = {TASK_KIND: lab_steps}
"""How steps are checked in a task kind whose arithmetic is not the usual one."""


CALLS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "gate": {"__call__": ("group", "context")},
    "source": {"draft": ("group", "context"), "clean": ("text",)},
    "accept": {"__call__": ("candidate", "replaced", "problem")},
    "slot": {"__call__": ("group", "context")},
    "train": {"__call__": ("tokens",)},
}
"""Block -> method -> what the step calls it with."""


def build_guidance(
    config: GuidanceConfig,
    prompts: PromptsConfig,
    reward_names: Mapping[str, str] | None = None,
    gates_of_sets: Mapping[str, Any] | None = None,
) -> Guidance:
    """The five blocks as objects.

    Args:
        config: The blocks as data.
        prompts: Ids of templates.
        reward_names: Name of a verifier in the configuration -> its name in metrics, where they
            differ.
        gates_of_sets: Name of a data set -> its gate as data, where it has one of its own.

    Raises:
        ConfigError: A custom block cannot be imported or does not have the block's form.
    """
    common: dict[str, Any] = {
        "failure_reward_threshold": config.failure_reward_threshold,
        "correctness": (reward_names or {}).get(config.correctness or "", config.correctness),
        "std_ddof": config.advantages.std_ddof,
        "advantage_eps": config.advantages.eps,
        "no_spread": config.no_spread.policy,
        "max_rounds": config.no_spread.max_rounds,
        "expert_logp_every": config.expert_logp_every,
    }
    if config.source.kind == "none" or config.slot.kind == "dataset":
        return Guidance(**common)
    fields = {name: getattr(config.source, name, None) for name in SAMPLING_FIELDS}
    if fields["sampling"] is not None:
        common |= fields
    if config.source.kind == "expert_text":
        common["over_length"] = config.source.over_length
    return Guidance(
        gate=_build_gates(config, gates_of_sets or {}),
        source=build_source(config, prompts),
        accept=build_accept_rules(config),
        slot=_build_slot(config),
        train=_build_train(config.train),
        **common,
    )


def preset_guidance(method: str, overrides: Mapping[str, Any] | None = None) -> Guidance:
    """The guidance of a method by name, for use with ``RePOTrainer``.

    Args:
        method: Name of a preset, such as ``repo``.
        overrides: Changes to its blocks, in the form of the ``guidance:`` section of a
            configuration: ``{"gate": {"gate_failure_fraction": 0.75}}``.

    Raises:
        ConfigError: The method is unknown, the result is not valid, or the method needs more than
            guidance: supervised fine-tuning, or a separate stream.
    """
    config = resolve_guidance(method, overrides or {})
    if config.slot.kind in ("dataset", "stream_buffer", "stream_joint", "append"):
        raise ConfigError(
            f"method {method!r} has slot.kind {config.slot.kind!r}, which is more than guidance; "
            f"use train_run or `rephrase-rl train` with `method: {method}`"
        )
    return build_guidance(config, PromptsConfig())


def _build_gates(config: GuidanceConfig, of_sets: Mapping[str, Any]) -> Gate | None:
    """The run's gate, or one that asks the gate of each set; None if none ever opens."""
    threshold = config.failure_reward_threshold
    default = build_gate(config.gate, threshold)
    own = {name: build_gate(gate, threshold) for name, gate in of_sets.items()}
    if default is None and all(gate is None for gate in own.values()):
        return None
    return GateByDataset(own, default) if own else default


def build_gate(gate: Any, failure_reward_threshold: float) -> Gate | None:
    """A gate and the gates inside it; None for one that never opens."""
    if gate.kind == "never":
        return None
    if gate.kind == "always":
        return gates.AlwaysGate()
    if gate.kind == "failed_share":
        return gates.FailedShareGate(gate.gate_failure_fraction, failure_reward_threshold)
    if gate.kind == "success_rate":
        return gates.SuccessRateGate(gate.success_rate, failure_reward_threshold)
    if gate.kind == "custom":
        built: Gate = build_custom("gate", gate, ("__call__",))
        return built
    inner = build_gate(gate.inner, failure_reward_threshold)
    if inner is None:
        return None
    if gate.kind == "schedule":
        return gates.ScheduleGate(inner, gate.start_step, gate.end_step)
    if gate.kind == "probability":
        return gates.ProbabilityGate(inner, gate.start, gate.end, gate.over_steps)
    return gates.VisitsGate(inner, gate.min_failed_visits)


def build_source(config: GuidanceConfig, prompts: PromptsConfig) -> Source:
    """The source, with its cache if it has one."""
    source = config.source
    built = _build_source(source, prompts, config.failure_reward_threshold)
    cache_steps = getattr(source, "cache_steps", 0)
    return CachedSource(built, cache_steps) if cache_steps else built


def _build_source(source: Any, prompts: PromptsConfig, failure_reward_threshold: float) -> Source:
    if source.kind == "rephrase":
        template = _template(prompts.rephrase)
        return sources.RephraseSource(template, source.remove_meta_text, prompts.style)
    if source.kind == "expert_text":
        return sources.ExpertTextSource()
    if source.kind == "expert_prefix":
        return sources.ExpertPrefixSource(source.share, source.end_share, source.over_steps)
    if source.kind == "rationale":
        template = _template(prompts.rationale)
        return sources.RationaleSource(template, source.remove_meta_text, prompts.style)
    if source.kind == "refinement":
        template = _template(prompts.refine)
        return sources.RefinementSource(
            template, source.remove_meta_text, source.show_expert, prompts.style
        )
    if source.kind == "replay":
        return ReplaySource(source.capacity, failure_reward_threshold)
    built: Source = build_custom("source", source, ("draft", "clean", "origin"))
    return built


def _template(template_id: str | None) -> PromptTemplate | None:
    return None if template_id is None else get_template(template_id)


def build_accept_rules(config: GuidanceConfig) -> tuple[AcceptRule, ...]:
    """The acceptance rules in their order."""
    return tuple(_build_rule(rule, config.failure_reward_threshold) for rule in config.accept)


def _build_rule(rule: Any, failure_reward_threshold: float) -> AcceptRule:
    if rule.kind == "reward_above_replaced":
        return acceptance.RewardAboveReplaced()
    if rule.kind == "correct":
        return acceptance.Correct(failure_reward_threshold)
    if rule.kind == "finished":
        return acceptance.Finished()
    if rule.kind == "no_meta_text":
        return acceptance.NoMetaText()
    if rule.kind == "not_copied":
        return acceptance.NotCopied(rule.max_share, rule.min_run)
    if rule.kind == "within_length":
        return acceptance.WithinLength(rule.min_tokens, rule.max_tokens, rule.max_ratio_to_expert)
    if rule.kind == "steps_valid":
        check = check_steps if rule.check is None else import_object(rule.check)
        return acceptance.StepsValid(rule.min_share, rule.min_steps, check)
    built: AcceptRule = build_custom("accept", rule, ("__call__", "name"))
    return built


def check_steps(text: str, problem: Problem) -> StepValidity:
    """The steps of a text that can be checked, in the arithmetic of the problem's task kind."""
    check = STEP_CHECKS.get(problem.task_kind, acceptance.check_arithmetic)
    return check(text, problem)


def _build_slot(config: GuidanceConfig) -> Slot:
    slot = config.slot
    if slot.kind == "replace_worst":
        return slots.ReplaceWorst()
    if slot.kind == "replace_random_failure":
        return slots.ReplaceRandomFailure(config.failure_reward_threshold)
    if slot.kind == "reserved":
        return slots.LastPlace()
    if slot.kind == "whole_group":
        return slots.WholeGroup()
    if slot.kind in ("stream_buffer", "stream_joint"):
        return slots.SupervisedStream()
    if slot.kind == "custom":
        built: Slot = build_custom("slot", slot, ("__call__", "placement"))
        return built
    raise ConfigError(
        f"guidance.slot.kind: found {slot.kind!r}, which is resolved before objects are built; "
        "resolve the configuration first (rephrase_rl.methods.resolve_config)"
    )


def _build_train(train: Any) -> TrainRule:
    shared = {"weight": train.weight, "normalisation": train.normalisation}
    if train.kind == "context_ratio":
        return training.ContextRatio(
            level=train.level,
            cap=train.cap,
            length_normalized=train.length_normalized,
            **shared,
        )
    if train.kind == "shaped":
        return training.ShapedProbability(gamma=train.gamma, **shared)
    if train.kind == "nll":
        return training.NegativeLogLikelihood(**shared)
    if train.kind == "phi_nll":
        return training.PhiWeightedNll(**shared)
    if train.kind == "custom":
        return training.OwnLoss(losses=build_custom("train", train, ("__call__",)), **shared)
    return training.ClippedRatio(**shared)


def build_custom(block: str, config: CustomBlock, needed: tuple[str, ...]) -> Any:
    """A block of the user's own: the class or factory is called with its options.

    A plain function is taken as it is where the block is just a call and has no options.

    Raises:
        ConfigError: It cannot be imported, built or used as this block.
    """
    where = f"guidance.{block}: {config.target}"
    found = import_object(config.target)
    is_block_itself = needed == ("__call__",) and not isinstance(found, type)
    if is_block_itself and not config.options:
        _refuse_other_calls(where, block, found)
        return found
    try:
        built = found(**config.options)
    except Exception as error:
        raise ConfigError(
            f"{where} cannot be built with options {config.options} ({type(error).__name__}: "
            f"{error}); required: a class or factory that takes them"
        ) from error
    missing = [name for name in needed if not hasattr(built, name)]
    if missing:
        raise ConfigError(
            f"{where} gave a {type(built).__name__} without {', '.join(missing)}; required is the "
            f"form of a {block} in rephrase_rl.guidance.blocks"
        )
    _refuse_other_calls(where, block, built)
    return built


def _refuse_other_calls(where: str, block: str, built: Any) -> None:
    """Refuse before the run what the step could not call.

    Raises:
        ConfigError: A method is none, or takes other arguments.
    """
    for name, arguments in CALLS[block].items():
        method = built if name == "__call__" else getattr(built, name)
        word = "" if name == "__call__" else f".{name}"
        form = f"{block}{word}({', '.join(arguments)})"
        if not callable(method):
            raise ConfigError(
                f"{where}{word}: found {type(method).__name__}, which cannot be called; required: "
                f"the form {form}; do this: name a function or a class of this form"
            )
        try:
            inspect.signature(method).bind(*arguments)
        except TypeError as error:
            raise ConfigError(
                f"{where}{word}: found other arguments ({error}); required: the form {form}; do "
                "this: change its arguments"
            ) from error
        except ValueError:  # written in C, without a signature that could be read
            continue
