"""What runs of every method share: manifest, run directory, recording, and the run itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import wait_for_everyone
from transformers import PrinterCallback, TrainerState

from rephrase_rl.assembly.adapters import load_with_adapter
from rephrase_rl.assembly.guarding import stop_watching
from rephrase_rl.assembly.mixture import mixture_entry
from rephrase_rl.assembly.objects import rephrase_template, solve_template
from rephrase_rl.assembly.policies import FINAL_POLICY, resolve_policy_path
from rephrase_rl.assembly.reward_watch import RewardWatch
from rephrase_rl.assembly.stopping import StopRequest
from rephrase_rl.assembly.watching import EvaluationWatch
from rephrase_rl.config import config_hash
from rephrase_rl.data import data_fingerprint
from rephrase_rl.data.budget import FATE_KEY
from rephrase_rl.errors import EngineError, StoppedError
from rephrase_rl.methods import get_preset
from rephrase_rl.runs import RunDirectory, checkpoints, collect_manifest
from rephrase_rl.runs.hardware import peak_memory, reset_peak_memory
from rephrase_rl.trainers.trl.callbacks import EveryNSteps, StopAfterStep
from rephrase_rl.trainers.trl.loggers import log_evaluation, prepare_loggers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import TrainingArguments

    from rephrase_rl.assembly.in_training import PolicyEvaluations
    from rephrase_rl.config import ModelConfig, PolicyConfig, RunConfig
    from rephrase_rl.evaluation import EvaluationResult
    from rephrase_rl.records import JSON, GroupRecord, Problem, StepRecord
    from rephrase_rl.rollout import LoadedPolicy


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
    ended_early: str | None = None
    """Why training ended before its last step, in words; None: it did not."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a caller of ``train_run`` asks for, its configuration resolved."""

    config: RunConfig
    run_path: Path
    command: Sequence[str]
    resume: bool = False
    overwrite: bool = False
    on_step: Callable[[StepView], None] | None = None
    on_progress: Callable[[str, int, int], None] | None = None
    resume_from: str | None = None
    """A step, or ``last-whole``; None: the newest checkpoint."""


def load_start(
    config: RunConfig, *, for_training: bool = False
) -> tuple[LoadedPolicy, dict[str, JSON]]:
    """The policy that a run starts from, and what the manifest says of an ``init_from``.

    Args:
        config: The run.
        for_training: Whether it is trained, which decides what becomes of an adapter.

    Raises:
        CheckpointError: ``init_from`` is a run without a final policy.
        ConfigError: It is an adapter unlike ``model.lora``.
        EngineError: Nothing loadable is there, or its tokenizer lacks chat template or end token.
    """
    model = starting_model(config)
    policy = _able_to_talk(load_with_adapter(model, for_training=for_training), model)
    if config.init_from is None:
        return policy, {}
    entry: dict[str, JSON] = {"path": config.init_from, "policy": model.path}
    if (Path(config.init_from) / "manifest.json").is_file():
        earlier = RunDirectory.open(config.init_from).manifest
        entry |= {name: earlier.get(name) for name in ("method", "config_hash", "started_at")}
    return policy, {"init_from": entry}


def _able_to_talk(policy: LoadedPolicy, model: ModelConfig) -> LoadedPolicy:
    if not policy.tokenizer.chat_template:
        raise EngineError(
            f"the tokenizer of {model.path} has no chat template; required: one, since prompts are "
            "conversations. Take the instruct variant of the model, or put chat_template.jinja "
            "into its folder"
        )
    if policy.tokenizer.eos_token_id is None:
        raise EngineError(
            f"the tokenizer of {model.path} has no end-of-sequence token; required: one, or no "
            "text would end; set eos_token in its tokenizer_config.json to the token that ends "
            "the model's texts"
        )
    return policy


def starting_model(config: RunConfig) -> PolicyConfig:
    """Where the policy that a run starts from lies.

    Raises:
        CheckpointError: ``init_from`` is a run without a final policy.
    """
    if config.init_from is None:
        return config.model
    path = resolve_policy_path(config.init_from)
    replaced = {"path": path, "revision": None, "gguf_file": None}
    return config.model.model_copy(update=replaced)


def run_manifest(
    request: RunRequest,
    arguments: TrainingArguments,
    problems: Sequence[Problem],
    extra: Mapping[str, JSON],
) -> dict[str, JSON]:
    """What identifies the run; ``extra`` adds what only some methods have."""
    config = request.config
    templates = {
        template.template_id: template.sha256
        for problem in {problem.task_kind: problem for problem in problems}.values()
        for template in (
            solve_template(problem, config.prompts),
            rephrase_template(problem, config.prompts),
        )
    }
    fates = Counter(p.metadata[FATE_KEY]["fate"] for p in problems if FATE_KEY in p.metadata)
    experts: dict[str, JSON] = {"expert_budget": dict(sorted(fates.items()))} if fates else {}
    return collect_manifest(
        list(request.command),
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
            **experts,
            **mixture_entry(config, problems),
            **extra,
        },
    )


def conduct(
    request: RunRequest,
    trainer: Any,
    recorder: Recorder,
    evaluate_at: PolicyEvaluations,
    checkpoint: str | None,
) -> RunSummary:
    """Evaluate, train, keep the policy, evaluate again.

    Args:
        request: What was asked for.
        trainer: A ``transformers.Trainer`` whose steps go to ``recorder``.
        recorder: Where they go.
        evaluate_at: Evaluates the trainer's policy.
        checkpoint: To resume from; None: from the start.
    """
    evaluation = request.config.evaluation
    watch = EvaluationWatch(evaluation, evaluate_at.run, trainer, request.run_path / "checkpoints")

    def evaluate_and_log(step: int) -> bool:
        results = evaluate_at(step)
        log_evaluation(trainer, evaluation_figures(results) | watch.look(step, results))
        return watch.end is not None

    # With tqdm off transformers prints each log line as a dict; on_step is our display.
    trainer.remove_callback(PrinterCallback)
    prepare_loggers(trainer, request.run_path)
    if evaluation.every_steps is not None:
        trainer.add_callback(EveryNSteps(evaluation.every_steps, evaluate_and_log))
    if evaluation.before and checkpoint is None:
        evaluate_and_log(0)
    recorder.start(lambda: evaluate_at.seconds_during_training)
    trainer.before_publishing = recorder.sync
    if checkpoint is not None and (
        watch.take_up(checkpoints.step_of(checkpoint)) or _all_steps_done(trainer, checkpoint)
    ):
        # transformers would train one step more and only then see that it is past the last one.
        trainer._load_from_checkpoint(checkpoint)
        trainer.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    else:
        _train(request, trainer, checkpoint)
    wall_s = recorder.wall_s() - evaluate_at.seconds_during_training
    # Before the last evaluation: whatever goes wrong there, the trained policy is kept.
    trainer.save_whole(request.run_path / "checkpoints" / FINAL_POLICY)
    recorder.finish(wall_s, watch.end)
    # Not for trackers, which have closed their runs by now.
    last = trainer.state.global_step
    results = evaluate_at(last)
    if evaluation.every_steps is not None and last % evaluation.every_steps:
        watch.look(last, results)
    wait_for_everyone()
    return RunSummary(request.run_path, results, recorder.tokens(), wall_s, watch.end)


def evaluation_figures(results: Mapping[str, EvaluationResult]) -> dict[str, float]:
    """Figures of evaluations under the names that trackers get."""
    figures = {}
    for name, result in results.items():
        figures[f"evaluation/{name}/avg_at_{result.protocol.samples_per_problem}"] = (
            result.avg_at_k.mean
        )
        for k, interval in result.pass_at_k.items():
            figures[f"evaluation/{name}/pass_at_{k}"] = interval.mean
    return figures


def _train(request: RunRequest, trainer: Any, checkpoint: str | None) -> None:
    """Train to the end, or to the end of the step in which a signal comes.

    Raises:
        StoppedError: A signal came.
    """
    with StopRequest() as stop:
        after_step = StopAfterStep(lambda: stop.asked)
        trainer.add_callback(after_step)
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except KeyboardInterrupt as interruption:
            interruption.add_note(_what_is_left(request.run_path))
            raise
        finally:  # transformers tells callbacks of an end only where it is a good one
            stop_watching(trainer)
    if not after_step.stopped:
        return
    done, total = trainer.state.global_step, trainer.state.max_steps
    raise StoppedError(
        f"stopped after step {done} of {total}; {checkpoints.name_of(done)} is saved in "
        f"{request.run_path}: go on with --resume",
        stop.signal_number,
    )


def _what_is_left(run_path: Path) -> str:
    there = checkpoints.all_checkpoints(run_path / "checkpoints")
    if not there:
        return f"no checkpoint was written yet in {run_path}: begin anew with --overwrite"
    return f"{there[-1].name} is the last one in {run_path}: go on with --resume"


def _all_steps_done(trainer: Any, checkpoint: str) -> bool:
    """Whether a run was stopped after its last step; divided weights need training to be loaded."""
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled or trainer.args.max_steps <= 0:
        return False
    return checkpoints.step_of(checkpoint) >= int(trainer.args.max_steps)


class Recorder:
    """Writes what the trainer reports into the run directory and on to the display."""

    def __init__(
        self,
        run: RunDirectory | None,
        keep: str,
        on_step: Callable[[StepView], None] | None,
        untimed_s: float = 0.0,
        rewards: RewardWatch | None = None,
    ) -> None:
        """Args: the run directory, groups to keep, the display, seconds spent before, a watch."""
        self._rewards = rewards or RewardWatch(None)
        self._run = run
        self._keep = keep
        self._on_step = on_step
        self._started = 0.0
        self._earlier_s = self._untimed_s = untimed_s
        self._evaluation_s: Callable[[], float] = lambda: 0.0
        self._evaluation_s_written = 0.0

    def start(self, evaluation_s: Callable[[], float]) -> None:
        """Start the clock; the steps of an earlier part that is resumed keep their time.

        Args:
            evaluation_s: Seconds of evaluation since training began, at any time.
        """
        self._evaluation_s = evaluation_s
        timings = [] if self._run is None else [t.timings for t in self._run.timings()]
        steps_s = sum(
            (row.get("time/step_s") or 0.0) - (row.get("time/evaluation_s") or 0.0)
            for row in timings
        )
        self._earlier_s = self._untimed_s + steps_s
        reset_peak_memory()
        self._started = time.perf_counter()

    def wall_s(self) -> float:
        """Seconds of training so far."""
        return self._earlier_s + time.perf_counter() - self._started

    def finish(self, wall_s: float, ended_early: str | None = None) -> None:
        """Write the outcome of training."""
        if self._run is not None:
            summary: dict[str, JSON] = {"wall_s": wall_s, "generated_tokens": self.tokens()}
            if ended_early is not None:
                summary["ended_early"] = ended_early
            constant = self._rewards.at_end()
            if constant is not None:
                summary["constant_reward"] = constant
            self._run.write_summary(summary)

    def sync(self) -> None:
        """Bring the records to the disk, before a checkpoint that counts on them."""
        if self._run is not None:
            self._run.sync()

    def keep_groups(self, records: Sequence[GroupRecord]) -> None:
        """Append the groups of one generation batch."""
        self._rewards.see(records)
        kept = [r for r in records if self._keep == "all" or (self._keep == "open" and r.gate_open)]
        if self._run is not None and kept:
            self._run.append_groups(kept)

    def keep_step(self, record: StepRecord, times: Mapping[str, float], total: int) -> None:
        """Append one step and show it."""
        if self._run is not None:
            self._run.append_step(record)
            self._run.append_timing(record.step, {**times, **self._measured()})
        if self._on_step is not None:
            view = StepView(record.step + 1, total, record.metrics, times["time/step_s"])
            self._on_step(view)

    def _measured(self) -> dict[str, float]:
        """What belongs beside a step's times: evaluation within it, memory so far."""
        evaluation_s = self._evaluation_s() - self._evaluation_s_written
        self._evaluation_s_written += evaluation_s
        times = {"time/evaluation_s": evaluation_s} if evaluation_s > 0 else {}
        return {**times, **peak_memory()}

    def tokens(self) -> int:
        """Tokens sampled over the whole run, an earlier part that was resumed included."""
        steps = [] if self._run is None else self._run.steps()
        names = ("tokens/rollout", "tokens/rephrase")
        return int(sum(step.metrics.get(name) or 0.0 for step in steps for name in names))
