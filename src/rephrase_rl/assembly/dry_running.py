"""Everything of a run that can be looked at without its weights.

Configuration, data, prompts, token budgets, verifiers and blocks are read and built as training
does it; nothing is sampled, asked of an endpoint or written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.adapters import (
    refuse_unfit_adapters,
    trained_part,
    warn_of_rate,
)
from rephrase_rl.assembly.benchmark_lengths import refuse_long_evaluations
from rephrase_rl.assembly.benchmarks import load_benchmarks
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.checking import CheckOptions, check_data
from rephrase_rl.assembly.in_training import refuse_with_divided_weights
from rephrase_rl.assembly.mixture import gates_of_sets, mix_sets, refuse_gates_of_sets
from rephrase_rl.assembly.model_configs import starting_model_config
from rephrase_rl.assembly.objects import (
    VERIFIER_OF_KIND,
    load_model_tokenizer,
    task_kind_of,
)
from rephrase_rl.assembly.problems import problems_of_sets
from rephrase_rl.assembly.prompt_lengths import (
    fit_rewriting,
    fit_rewriting_ahead,
    refuse_long_questions,
    rewriting_room,
)
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.assembly.rewriting import asks
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.assembly.streams import build_stream
from rephrase_rl.assembly.supervised import refuse_unused, training_texts
from rephrase_rl.config import all_benchmarks, deciding_reward, parse_guidance
from rephrase_rl.errors import DataError
from rephrase_rl.methods import resolve_config
from rephrase_rl.rollout import prompt_token_ids
from rephrase_rl.rollout.context_length import context_of
from rephrase_rl.trainers.trl.arguments import grpo_arguments
from rephrase_rl.trainers.trl.prompt_room import prompt_room
from rephrase_rl.trainers.trl.steps import grpo_steps, problems_per_generation, supervised_steps
from rephrase_rl.trainers.trl.supervised_arguments import supervised_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import GuidanceConfig, RunConfig, TrainDataConfig
    from rephrase_rl.data.inspection import DataCheck
    from rephrase_rl.records import Problem


@dataclass(frozen=True, slots=True)
class SetView:
    """One training set of a run."""

    name: str
    problems: int
    with_expert: int
    drawn: int
    """Rows of the mixture that come from it; without weights its problems."""
    verifier: str
    """The one that decides failure."""
    gate: str
    """Kind of its gate."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would be."""

    method: str
    model: str
    trained: str
    """What of the policy is trained, in words."""
    blocks: tuple[tuple[str, str], ...]
    """Block -> kinds of its members."""
    processes: int
    """That steps are counted for: those of this call, or ``plan.devices`` where there are more."""
    steps: int
    problems_per_step: float
    """Different problems (supervised: texts) of one optimiser step."""
    rollouts_per_problem: int
    """0: nothing is sampled in training."""
    epochs: float | None
    """None: the number of steps is set."""
    sets: tuple[SetView, ...]
    benchmarks: tuple[tuple[str, int, int], ...]
    """Name, problems, samples of each."""
    check: DataCheck
    """Data, prompts and token budgets."""


def dry_run(config: RunConfig, *, shown_rows: int = 1) -> DryRun:
    """Read and build what a run needs, except the weights.

    Args:
        config: The run; resolved here.
        shown_rows: Problems whose prompts are given in full.

    Raises:
        ConfigError: The configuration is not valid.
        DataError: Data is not usable, or too little for one step.
        EngineError: Tokenizer or configuration of the policy cannot be read.
        VerifierError: A verifier is unknown, or its options are not valid.
    """
    warn_of_rate(config)
    config = resolve_config(config)
    refuse_unfit_adapters(config)
    guidance = parse_guidance(config.guidance)
    sets = problems_of_sets(config)
    problems = mix_sets(config, sets)
    benchmarks = load_benchmarks(all_benchmarks(config))
    if config.plan.sharding == "fsdp":
        refuse_with_divided_weights(benchmarks)
    refuse_long_evaluations(
        benchmarks,
        config,
        load_model_tokenizer(starting_model(config)),
        context_of(starting_model_config(config)),
    )
    if guidance.slot.kind == "dataset":
        steps = _supervised(config, guidance, problems)
    else:
        steps = _reinforced(config, guidance, problems)
    options = CheckOptions(shown_rows=shown_rows, judge_experts=False)
    check = check_data(config, options=options)
    return DryRun(
        method=config.method,
        model=starting_model(config).path,
        trained=trained_part(config),
        blocks=tuple(_kinds(guidance)),
        **steps,
        sets=_set_views(config, guidance, sets, problems),
        benchmarks=tuple(
            (b.config.name, len(b.problems), b.config.samples_per_problem) for b in benchmarks
        ),
        check=check,
    )


def _reinforced(
    config: RunConfig, guidance: GuidanceConfig, problems: Sequence[Problem]
) -> dict[str, Any]:
    """Build what samples, judges and trains; how many steps there are."""
    rewards = build_rewards(config, problems)
    try:
        arguments = grpo_arguments(
            config.trainer,
            output_dir="unused",
            seed=config.seed,
            scale_rewards=guidance.advantages.scale,
            reward_weights=rewards.weights,
        )
        blocks = build_guidance(
            guidance, config.prompts, rewards.names, gates_of_sets(config, guidance)
        )
        build_stream(guidance.slot)
    finally:
        rewards.close()
    tokenizer = load_model_tokenizer(starting_model(config))
    model_config = starting_model_config(config)
    template_kwargs = arguments.chat_template_kwargs or {}
    room = prompt_room(arguments, model_config)
    refuse_long_questions(problems, config.prompts, tokenizer, room, template_kwargs)
    fit_rewriting(problems, blocks, room, tokenizer, template_kwargs)
    processes = max(arguments.world_size, config.plan.devices)
    if config.trainer.get("generation_batch_size"):  # of all processes together, as TRL has it
        rows = arguments.per_device_train_batch_size * processes
        arguments.steps_per_generation = max(1, arguments.generation_batch_size // rows)
    needed = problems_per_generation(arguments, processes)
    if len(problems) < needed:
        raise DataError(
            f"found {len(problems)} problems, and {processes} processes take {needed} different "
            "ones for a generation batch (per_device_train_batch_size * steps_per_generation * "
            "processes / num_generations); required: at least as many; do this: add problems, or "
            "make the batch smaller"
        )
    generations = arguments.gradient_accumulation_steps / (
        arguments.steps_per_generation * arguments.num_iterations
    )
    return {
        "processes": processes,
        "steps": grpo_steps(arguments, len(problems), processes),
        "problems_per_step": needed * generations,
        "rollouts_per_problem": arguments.num_generations,
        "epochs": None if arguments.max_steps > 0 else arguments.num_train_epochs,
    }


def _supervised(
    config: RunConfig, guidance: GuidanceConfig, problems: Sequence[Problem]
) -> dict[str, Any]:
    """The same for methods that train on a data set of texts."""
    refuse_unused(guidance)
    refuse_gates_of_sets(config)
    arguments = supervised_arguments(config.trainer, output_dir="unused", seed=config.seed)
    build_rewards(config, problems).close()
    num_texts = sum(problem.expert_solution is not None for problem in problems)
    tokenizer = load_model_tokenizer(starting_model(config))
    if guidance.source.kind == "rephrase":
        fit_rewriting_ahead(
            problems,
            asks(guidance, config),
            guidance.source.max_prompt_tokens,
            rewriting_room(config, guidance, starting_model_config(config)),
            partial(
                prompt_token_ids, tokenizer, chat_template_kwargs=arguments.chat_template_kwargs
            ),
        )
    if guidance.source.kind == "expert_text":
        num_texts = len(training_texts(problems, config, arguments, tokenizer).texts)
    sft = arguments.sft
    processes = max(sft.world_size, config.plan.devices)
    return {
        "processes": processes,
        "steps": supervised_steps(sft, num_texts, processes),
        "problems_per_step": float(
            sft.per_device_train_batch_size * sft.gradient_accumulation_steps * processes
        ),
        "rollouts_per_problem": 0,
        "epochs": None if sft.max_steps > 0 else sft.num_train_epochs,
    }


def _kinds(guidance: GuidanceConfig) -> list[tuple[str, str]]:
    accept = ", ".join(map(_kind, guidance.accept)) or "anything"
    blocks = ("gate", "source", "slot", "train")
    kinds = {name: _kind(getattr(guidance, name)) for name in blocks}
    return [
        ("gate", kinds["gate"]),
        ("source", kinds["source"]),
        ("accept", accept),
        ("slot", kinds["slot"]),
        ("train", kinds["train"]),
    ]


def _kind(block: Any) -> str:
    """What a member is called; of one's own the code that it is."""
    return f"custom ({block.target})" if block.kind == "custom" else str(block.kind)


def _set_views(
    config: RunConfig,
    guidance: GuidanceConfig,
    sets: Sequence[Sequence[Problem]],
    problems: Sequence[Problem],
) -> tuple[SetView, ...]:
    views = []
    for data, own in zip(config.data, sets, strict=True):
        named = sum(problem.dataset == data.name for problem in problems)
        views.append(
            SetView(
                name=data.name,
                problems=len(own),
                with_expert=sum(problem.expert_solution is not None for problem in own),
                drawn=named if len(sets) > 1 else len(problems),
                verifier=_verifier(config, data, own),
                gate=_kind(data.gate or guidance.gate),
            )
        )
    return tuple(views)


def _verifier(config: RunConfig, data: TrainDataConfig, problems: Sequence[Problem]) -> str:
    reward = deciding_reward(config, data)
    return VERIFIER_OF_KIND[task_kind_of(problems)] if reward is None else reward.verifier
