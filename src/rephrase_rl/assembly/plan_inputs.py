"""What a plan reads from the outside: the model's sizes and the lengths of the data's prompts.

Neither loads weights: a folder that holds a ``config.json`` and nothing else can be planned for.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.adapters import without_adapter
from rephrase_rl.assembly.model_configs import starting_model_config
from rephrase_rl.assembly.objects import (
    VERIFIER_OF_KIND,
    load_data,
    model_path,
    rephrase_template,
    solve_template,
)
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.errors import ConfigError, EngineError, RephraseError
from rephrase_rl.methods import resolve_config
from rephrase_rl.planning import Plan, Setting, make_plan, shape_from_config
from rephrase_rl.planning.choose import chosen_device, verdict_seconds
from rephrase_rl.planning.devices import Fact
from rephrase_rl.planning.from_config import (
    DataLengths,
    computing_of,
    shape_of,
    steps_of,
    workload_of,
)
from rephrase_rl.prompts import render_prompt

if TYPE_CHECKING:
    from rephrase_rl.config import PromptsConfig, RunConfig
    from rephrase_rl.planning import ModelShape
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import Message, Problem

CHARACTERS_PER_TOKEN = 4
"""Where there is data and no tokenizer: English text in the vocabularies of current models."""


def plan_run(config: RunConfig, device_counts: Sequence[int]) -> Plan:
    """Plan a run.

    Args:
        config: As read from a file; resolved here.
        device_counts: Numbers of devices to compare.

    Raises:
        ConfigError: Something that the plan rests on is missing or not known; all faults at once.
    """
    config = resolve_config(config)
    shape, shape_source = read_shape(config)
    lengths = read_lengths(config)
    work, facts = workload_of(config, lengths, verdict_seconds())
    how = computing_of(config)
    device = chosen_device(config.plan, how)
    several = max((config.plan.devices, *device_counts))
    if several > 1 and device.links is None:
        raise ConfigError(
            f"found {several} devices of kind 'this', whose links were never measured; required: "
            "their bandwidth; do this: set plan.link_gb_s, or plan for one device"
        )
    parameters = Fact("parameters", f"{shape.parameters:,}", "counted", shape_source)
    return make_plan(
        Setting(shape, work, how, device, config.plan.devices),
        [parameters, *facts],
        device_counts=device_counts,
        steps=steps_of(config, work, lengths.problems),
    )


def read_shape(config: RunConfig) -> tuple[ModelShape, str]:
    """The model's sizes and where they were read.

    Raises:
        ConfigError: No configuration can be read, or it is not one of a dense decoder.
    """
    if config.plan.shape is not None:
        return shape_of(config.plan.shape), "plan.shape"
    path = without_adapter(starting_model(config)).path
    try:
        loaded = starting_model_config(config)
    except EngineError as error:
        raise ConfigError(
            f"model.path: found no readable config.json for {path!r} "
            f"({_first_line(error.__cause__ or error)}); required: a folder or hub id with one, "
            "weights are not needed; do this: check the path, or write the sizes under plan.shape"
        ) from error
    return shape_from_config(loaded.get_text_config().to_dict(), path), "config.json"


def read_lengths(config: RunConfig) -> DataLengths:
    """Mean lengths of a sample of the data; empty, with the reason, where it cannot be read."""
    if not config.plan.sample:
        return DataLengths(source="plan.sample is 0")
    try:
        sets = [load_data(data) for data in config.data]
    except (RephraseError, OSError) as error:
        return DataLengths(source=f"the data cannot be read: {_first_line(error)}")
    every = [problem for problems in sets for problem in problems]
    stride = max(1, len(every) // config.plan.sample)  # sets of different lengths follow each other
    sample = every[::stride][: config.plan.sample]
    tokenizer = _tokenizer(config)
    estimated = tokenizer is None
    unit = f"characters / {CHARACTERS_PER_TOKEN} (no tokenizer)" if estimated else "tokens"
    count = _token_counter(config, tokenizer or _Characters())
    with_expert = [problem for problem in sample if problem.expert_solution is not None]
    return DataLengths(
        prompt_tokens=_mean([count(_prompt(p, solve_template, config)) for p in sample]),
        context_tokens=_mean([count(_prompt(p, rephrase_template, config)) for p in with_expert]),
        expert_tokens=_mean([count(p.expert_solution or "") for p in with_expert]),
        open_share=_all_fail(every, int(config.trainer["num_generations"])),
        problems=len(every),
        verifiers=_verifiers(config, every),
        source=f"{unit} of {len(sample)} problems",
        estimated=estimated,
    )


def _tokenizer(config: RunConfig) -> Any | None:
    """The policy's tokenizer, if there is one that can render conversations."""
    from transformers import AutoTokenizer

    model = starting_model(config)
    more: dict[str, Any] = {"gguf_file": model.gguf_file} if model.gguf_file else {}
    more["trust_remote_code"] = model.trust_remote_code
    try:
        path = model_path(model)
        tokenizer = AutoTokenizer.from_pretrained(path, revision=model.revision, **more)
    except (OSError, ValueError, KeyError, ImportError):
        return None
    return tokenizer if tokenizer.chat_template else None


def _prompt(
    problem: Problem,
    template: Callable[[Problem, PromptsConfig], PromptTemplate],
    config: RunConfig,
) -> Sequence[Message]:
    return render_prompt(problem, template(problem, config.prompts))


def _token_counter(config: RunConfig, tokenizer: Any) -> Callable[[str | Sequence[Message]], int]:
    """What counts a text, or a conversation as the policy gets it."""
    template_kwargs = config.trainer.get("chat_template_kwargs") or {}

    def count(text: str | Sequence[Message]) -> int:
        if not isinstance(text, str):
            text = tokenizer.apply_chat_template(
                list(text), tokenize=False, add_generation_prompt=True, **template_kwargs
            )
        return len(tokenizer.encode(text, add_special_tokens=False))

    return count


class _Characters:
    """Stands in for a tokenizer: counts characters."""

    def apply_chat_template(self, conversation: Sequence[Any], **_: Any) -> str:
        return "\n".join(message["content"] for message in conversation)

    def encode(self, text: str, **_: Any) -> range:
        return range(-(-len(text) // CHARACTERS_PER_TOKEN))


def _mean(values: Sequence[int | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None


def _verifiers(config: RunConfig, problems: Sequence[Problem]) -> tuple[str, ...]:
    if config.rewards:
        return tuple(reward.verifier for reward in config.rewards)
    kinds = {problem.task_kind for problem in problems}
    return tuple(sorted(VERIFIER_OF_KIND[kind] for kind in kinds if kind in VERIFIER_OF_KIND))


def _all_fail(problems: Sequence[Problem], group_size: int) -> float | None:
    """Expected share of groups without a success, where every problem has a pass rate."""
    rates = [problem.metadata.get("pass_rate") for problem in problems]
    if not rates or not all(isinstance(rate, int | float) for rate in rates):
        return None
    return statistics.fmean((1.0 - float(rate or 0.0)) ** group_size for rate in rates)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def with_overrides(config: RunConfig, devices: int | None, open_share: float | None) -> RunConfig:
    """The configuration with the command's own options laid over ``plan``."""
    changes: dict[str, Any] = {}
    if devices is not None:
        changes["devices"] = devices
    if open_share is not None:
        changes["expected_open_share"] = open_share
    return config.model_copy(update={"plan": config.plan.model_copy(update=changes)})
