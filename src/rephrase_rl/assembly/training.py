"""One training run: a configuration becomes a run directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accelerate import PartialState
from accelerate.utils import wait_for_everyone
from datasets import Dataset
from transformers import PrinterCallback

from rephrase_rl.assembly.evaluating import FINAL_POLICY, load_benchmarks
from rephrase_rl.assembly.in_training import PolicyEvaluations
from rephrase_rl.assembly.objects import (
    build_guidance,
    build_verifiers,
    load_data,
    load_model,
    rephrase_template,
    solve_template,
)
from rephrase_rl.config import config_hash, dump_config, parse_guidance
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.methods import get_preset, resolve_config
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rewards import VerifierReward
from rephrase_rl.runs import RunDirectory, collect_manifest
from rephrase_rl.seeding import seed_everything
from rephrase_rl.trainers.trl.arguments import grpo_arguments
from rephrase_rl.trainers.trl.callbacks import EveryNSteps, StepReporter
from rephrase_rl.trainers.trl.trainer import RePOTrainer

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import TrainingArguments

    from rephrase_rl.config import RunConfig
    from rephrase_rl.evaluation import EvaluationResult
    from rephrase_rl.records import JSON, GroupRecord, Problem, StepRecord


@dataclass(frozen=True, slots=True)
class StepView:
    """One finished optimiser step, for progress displays."""

    step: int
    """Finished steps, from 1."""
    total_steps: int
    metrics: Mapping[str, float | None]
    seconds: float


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Outcome of a run."""

    run_path: Path
    evaluations: Mapping[str, EvaluationResult]
    """Of the policy at the end, by benchmark."""
    generated_tokens: int
    """Sampled in training: rollouts and rewrites, accepted or not."""
    wall_s: float
    """Training, without loading and without evaluation; all parts of a resumed run."""


def train_run(
    config: RunConfig,
    *,
    run_path: Path,
    command: Sequence[str],
    resume: bool = False,
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
        overwrite: Replace a run that is there.
        on_step: Called after each optimiser step.
        on_progress: Called during evaluations with (benchmark, completions done, asked for).

    Raises:
        ConfigError: The configuration is not valid.
        DataError: Training or evaluation data is not usable.
        CheckpointError: ``run_path`` holds a run and neither flag says what to do with it, or
            there is no checkpoint to resume from.
    """
    config = resolve_config(config)
    guidance = parse_guidance(config.guidance)
    seed_everything(config.seed)
    problems = [problem for data in config.data for problem in load_data(data)]
    benchmarks = load_benchmarks(config.evaluation.benchmarks)
    policy = load_model(config.model)
    verifiers = build_verifiers(config.rewards, problems)
    # What can be refused is refused before the run directory is touched.
    arguments = grpo_arguments(
        config.trainer,
        output_dir=str(run_path / "checkpoints"),
        seed=config.seed,
        scale_rewards=guidance.advantages.scale,
        reward_weights=[weight for _, weight in verifiers],
    )
    run, checkpoint = _open_run(
        config, run_path, _manifest(config, arguments, problems, command), resume, overwrite
    )
    recorder = _Recorder(run, config.log.groups, on_step)
    trainer = RePOTrainer(
        model=policy.model,
        reward_funcs=[VerifierReward(verifier) for verifier, _ in verifiers],
        args=arguments,
        train_dataset=training_dataset(problems, config),
        processing_class=policy.tokenizer,
        guidance=build_guidance(guidance, config.prompts),
        on_groups=recorder.keep_groups,
        callbacks=[StepReporter(recorder.keep_step)],
    )
    # With tqdm off transformers prints each log line as a dict; on_step is our display.
    trainer.remove_callback(PrinterCallback)
    evaluate_at = PolicyEvaluations(config, trainer, policy.tokenizer, benchmarks, run, on_progress)
    if config.evaluation.every_steps is not None:
        trainer.add_callback(EveryNSteps(config.evaluation.every_steps, evaluate_at))
    try:
        if config.evaluation.before and checkpoint is None:
            evaluate_at(0)
        recorder.start()
        trainer.train(resume_from_checkpoint=checkpoint)
        wall_s = recorder.wall_s() - evaluate_at.seconds_during_training
        # Before the last evaluation: whatever goes wrong there, the trained policy is kept.
        trainer.save_model(str(run_path / "checkpoints" / FINAL_POLICY))
        if run is not None:
            run.write_summary({"wall_s": wall_s, "generated_tokens": recorder.tokens()})
        results = evaluate_at(trainer.state.global_step)
    finally:
        for verifier, _ in verifiers:
            verifier.close()
    wait_for_everyone()
    return RunSummary(run_path, results, recorder.tokens(), wall_s)


def training_dataset(problems: Sequence[Problem], config: RunConfig) -> Dataset:
    """Rows in the form that ``RePOTrainer`` takes (see there)."""
    return Dataset.from_list(
        [
            {
                "prompt": [
                    dict(message)
                    for message in render_prompt(problem, solve_template(problem, config.prompts))
                ],
                "question": problem.question,
                "problem_id": problem.problem_id,
                "expert_solution": problem.expert_solution,
                "reference_answer": problem.reference_answer,
                "task_kind": problem.task_kind,
            }
            for problem in problems
        ]
    )


def _manifest(
    config: RunConfig,
    arguments: TrainingArguments,
    problems: Sequence[Problem],
    command: Sequence[str],
) -> dict[str, JSON]:
    """What identifies the run."""
    templates = {
        template.template_id: template.sha256
        for problem in _one_of_each_kind(problems)
        for template in (
            solve_template(problem, config.prompts),
            rephrase_template(problem, config.prompts),
        )
    }
    return collect_manifest(
        list(command),
        config.seed,
        {
            "method": config.method,
            "model": config.model.path,
            "data": {"train": data_fingerprint(problems)},
            "num_problems": len(problems),
            "templates": templates,
            "config_hash": config_hash(config),
            "precision": {"bf16": arguments.bf16, "fp16": arguments.fp16},
            "num_processes": arguments.world_size,
            "deviations": list(get_preset(config.method).deviations),
        },
    )


def _open_run(
    config: RunConfig,
    run_path: Path,
    manifest: Mapping[str, JSON],
    resume: bool,
    overwrite: bool,
) -> tuple[RunDirectory | None, str | None]:
    """The run directory (None on all processes but the first) and the checkpoint to resume."""
    checkpoint = _last_checkpoint(run_path) if resume else None
    if not PartialState().is_main_process:
        return None, checkpoint
    if checkpoint is None:
        return RunDirectory.create(run_path, manifest, dump_config(config), overwrite), None
    run = RunDirectory.open(run_path)
    if run.manifest.get("config_hash") != manifest["config_hash"]:
        raise ConfigError(
            f"{run_path} was made with another configuration; a resumed run must have the "
            "same one: use the config.yaml in that folder, or start a new run"
        )
    run.rewind(int(checkpoint.rsplit("-", 1)[1]))
    return run, checkpoint


def _one_of_each_kind(problems: Sequence[Problem]) -> list[Problem]:
    return list({problem.task_kind: problem for problem in problems}.values())


def _last_checkpoint(run_path: Path) -> str:
    folders = [
        folder
        for folder in (run_path / "checkpoints").glob("checkpoint-*")
        if (folder / "trainer_state.json").is_file()
    ]
    if not folders:
        raise CheckpointError(
            f"found no checkpoint under {run_path / 'checkpoints'}; --resume needs one: set "
            "trainer.save_strategy to steps and trainer.save_steps, or start without --resume"
        )
    return str(max(folders, key=lambda folder: int(folder.name.rsplit("-", 1)[1])))


class _Recorder:
    """Writes what the trainer reports into the run directory and on to the display."""

    def __init__(
        self,
        run: RunDirectory | None,
        keep: str,
        on_step: Callable[[StepView], None] | None,
    ) -> None:
        self._run = run
        self._keep = keep
        self._on_step = on_step
        self._started = 0.0
        self._earlier_s = 0.0

    def start(self) -> None:
        """Start the clock; the steps of an earlier part that is resumed keep their time."""
        timings = [] if self._run is None else self._run.timings()
        self._earlier_s = sum(t.timings.get("time/step_s") or 0.0 for t in timings)
        self._started = time.perf_counter()

    def wall_s(self) -> float:
        """Seconds of training so far."""
        return self._earlier_s + time.perf_counter() - self._started

    def keep_groups(self, records: Sequence[GroupRecord]) -> None:
        kept = [r for r in records if self._keep == "all" or (self._keep == "open" and r.gate_open)]
        if self._run is not None and kept:
            self._run.append_groups(kept)

    def keep_step(self, record: StepRecord, times: Mapping[str, float], total: int) -> None:
        if self._run is not None:
            self._run.append_step(record)
            self._run.append_timing(record.step, times)
        if self._on_step is not None:
            view = StepView(record.step + 1, total, record.metrics, times["time/step_s"])
            self._on_step(view)

    def tokens(self) -> int:
        """Tokens sampled over the whole run, an earlier part that was resumed included."""
        steps = [] if self._run is None else self._run.steps()
        names = ("tokens/rollout", "tokens/rephrase")
        return int(sum(step.metrics.get(name) or 0.0 for step in steps for name in names))
