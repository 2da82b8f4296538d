"""One training run: a configuration becomes a run directory."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from accelerate import PartialState
from datasets import Dataset

from rephrase_rl.assembly.adapters import (
    new_adapter,
    record_adapter,
    refuse_unfit_adapters,
    warn_of_rate,
)
from rephrase_rl.assembly.benchmark_lengths import refuse_long_evaluations
from rephrase_rl.assembly.benchmarks import load_benchmarks
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.assembly.guarding import hang_watches, run_guards
from rephrase_rl.assembly.in_training import PolicyEvaluations
from rephrase_rl.assembly.machine_faults import machine_faults
from rephrase_rl.assembly.mixture import gates_of_sets
from rephrase_rl.assembly.objects import solve_template
from rephrase_rl.assembly.precision import precision_fields
from rephrase_rl.assembly.problems import training_problems
from rephrase_rl.assembly.processes import meet, shared_failures
from rephrase_rl.assembly.prompt_lengths import fit_rewriting, refuse_long_questions
from rephrase_rl.assembly.provenance import provenance
from rephrase_rl.assembly.resuming import open_run
from rephrase_rl.assembly.reward_watch import RewardWatch
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.assembly.run_parts import (
    Recorder,
    RunRequest,
    RunSummary,
    StepView,
    conduct,
    load_start,
    run_manifest,
    starting_model,
)
from rephrase_rl.assembly.streams import build_stream
from rephrase_rl.assembly.supervised import supervised_run
from rephrase_rl.config import all_benchmarks, parse_guidance
from rephrase_rl.errors import DataError
from rephrase_rl.methods import resolve_config
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rewards.context import COMPLETION_IDS, context_columns_of
from rephrase_rl.rollout.context_length import context_of
from rephrase_rl.runs.beginning import removed_if_bare
from rephrase_rl.seeding import seed_everything
from rephrase_rl.trainers.trl.anticipation import PASS_RATE
from rephrase_rl.trainers.trl.arguments import grpo_arguments
from rephrase_rl.trainers.trl.callbacks import StepReporter
from rephrase_rl.trainers.trl.compute import Compute
from rephrase_rl.trainers.trl.prompt_room import prompt_room
from rephrase_rl.trainers.trl.trainer import RePOTrainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rephrase_rl.config import GuidanceConfig, RunConfig
    from rephrase_rl.records import Problem

__all__ = ["RunSummary", "StepView", "train_run", "training_dataset"]


def train_run(
    config: RunConfig,
    *,
    run_path: Path,
    command: Sequence[str],
    resume: bool = False,
    resume_from: str | None = None,
    overwrite: bool = False,
    on_step: Callable[[StepView], None] | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> RunSummary:
    """Train, evaluate and record one run.

    Under ``accelerate launch`` every process calls this; only the first writes.

    Args:
        config: The run; resolved here.
        run_path: Its directory.
        command: Command line, for the manifest.
        resume: Go on from the last checkpoint in ``run_path``.
        resume_from: Go on from the checkpoint of this step, or from the newest undamaged one
            (``last-whole``); later ones are removed.
        overwrite: Replace a run that is there.
        on_step: Called after each optimiser step.
        on_progress: Called during evaluations with (benchmark, completions done, asked for).

    Raises:
        ConfigError: The configuration is not valid.
        DataError: Training or evaluation data is not usable.
        CheckpointError: ``run_path`` holds a run and neither flag says what to do with it, or
            there is no checkpoint to resume from, or it is damaged or cannot be written.
        ResourceError: Disk, memory or a permission is missing.
        StoppedError: A signal came; the step was finished and saved.
        TrainingError: Steps cannot be taken any more.
        ProcessError: Another process of the run has ended.
    """
    resume = resume or resume_from is not None
    warn_of_rate(config)
    request = RunRequest(
        resolve_config(config),
        run_path,
        command,
        resume,
        overwrite,
        on_step,
        on_progress,
        resume_from,
    )
    refuse_unfit_adapters(request.config)
    guidance = parse_guidance(request.config.guidance)
    seed_everything(config.seed)
    meet(request.config.trainer)
    is_writer = PartialState().is_main_process
    tidy = removed_if_bare(run_path) if is_writer else contextlib.nullcontext()
    with shared_failures(), machine_faults(run_path), tidy:
        if guidance.slot.kind == "dataset":
            return supervised_run(request, guidance)
        return _reinforcement_run(request, guidance)


def _reinforcement_run(request: RunRequest, guidance: GuidanceConfig) -> RunSummary:
    config = request.config
    problems = training_problems(config)
    benchmarks = load_benchmarks(all_benchmarks(config))
    policy, start = load_start(config, for_training=True)
    adapter = new_adapter(starting_model(config), policy.model)
    rewards = build_rewards(config, problems)
    try:
        # What can be refused is refused before the run directory is touched.
        arguments = grpo_arguments(
            {**precision_fields(request, policy.model), **config.trainer},
            output_dir=str(request.run_path / "checkpoints"),
            seed=config.seed,
            scale_rewards=guidance.advantages.scale,
            reward_weights=rewards.weights,
        )
        refuse_long_evaluations(
            benchmarks, config, policy.tokenizer, context_of(policy.model.config)
        )
        room = prompt_room(arguments, policy.model.config)
        template_kwargs = arguments.chat_template_kwargs or {}
        refuse_long_questions(problems, config.prompts, policy.tokenizer, room, template_kwargs)
        blocks = build_guidance(
            guidance, config.prompts, rewards.names, gates_of_sets(config, guidance)
        )
        blocks = fit_rewriting(problems, blocks, room, policy.tokenizer, template_kwargs)
        facts = {**start, **provenance(config, problems, benchmarks, policy)}
        manifest = run_manifest(request, arguments, problems, facts)
        run, checkpoint = open_run(request, manifest)
        recorder = Recorder(
            run,
            config.log.groups,
            request.on_step,
            rewards=RewardWatch(config.guards.constant_reward_steps),
        )
        trainer = RePOTrainer(
            model=policy.model,
            reward_funcs=rewards.functions,
            args=arguments,
            train_dataset=training_dataset(
                problems, config, context_columns_of(reward.verifier for reward in rewards.rewards)
            ),
            processing_class=policy.tokenizer,
            guidance=dataclasses.replace(blocks, correctness_of=rewards.correctness_of),
            stream=build_stream(guidance.slot),
            compute=Compute(**config.compute.model_dump()),
            guards=run_guards(request),
            token_logps=config.log.token_logps,
            on_groups=recorder.keep_groups,
            callbacks=[StepReporter(recorder.keep_step), *hang_watches(request)],
            peft_config=adapter,
        )
        record_adapter(run, config.model, trainer.model)
        evaluate_at = PolicyEvaluations(
            config, trainer, policy.tokenizer, benchmarks, run, request.on_progress
        )
        return conduct(request, trainer, recorder, evaluate_at, checkpoint)
    finally:
        rewards.close()


def training_dataset(
    problems: Sequence[Problem], config: RunConfig, context_columns: Sequence[str] = ()
) -> Dataset:
    """Rows in the form that ``RePOTrainer`` takes (see there).

    Args:
        problems: One row each.
        config: Names the templates.
        context_columns: Keys of the problems' metadata that verifiers ask for.

    Raises:
        DataError: The values of such a key do not make a column; or metadata ``pass_rate`` is there
            and no share.
    """
    _check_pass_rates(problems)
    rows = [_row(problem, config, context_columns) for problem in problems]
    try:
        return Dataset.from_list(rows)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"metadata {', '.join(context_columns)} that the verifiers ask for does not make "
            f"columns of one type ({error}); required: the same type in every problem; do this: "
            "correct these values in the data"
        ) from error


def _row(problem: Problem, config: RunConfig, context_columns: Sequence[str]) -> dict[str, Any]:
    messages = render_prompt(problem, solve_template(problem, config.prompts))
    row = {name: problem.metadata.get(name) for name in context_columns if name != COMPLETION_IDS}
    row |= {
        "prompt": [dict(message) for message in messages],
        "question": problem.question,
        "problem_id": problem.problem_id,
        "expert_solution": problem.expert_solution,
        "reference_answer": problem.reference_answer,
        "task_kind": problem.task_kind,
        PASS_RATE: problem.metadata.get(PASS_RATE),
    }
    return row | ({"dataset": problem.dataset} if problem.dataset else {})


def _check_pass_rates(problems: Sequence[Problem]) -> None:
    faults = []
    for problem in problems:
        rate = problem.metadata.get(PASS_RATE)
        is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if rate is not None and not (is_number and 0 <= rate <= 1):
            faults.append(f"problem {problem.problem_id!r}: found {rate!r}")
    if faults:
        raise DataError(
            f"column {PASS_RATE!r} is read as the share of samples that pass, as mined; required: "
            "a number from 0 to 1, or null; rename the column if it is something else",
            faults,
        )
