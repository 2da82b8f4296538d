"""Evaluation of a policy on the benchmarks of a configuration, into a run directory."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.benchmarks import benchmark_template, load_benchmarks
from rephrase_rl.assembly.engines import EngineName, load_engine
from rephrase_rl.assembly.objects import build_judge, solve_template
from rephrase_rl.assembly.policies import (
    EVALUATION,
    resolve_policy_path,
    step_within,
    weights_fingerprint,
)
from rephrase_rl.assembly.stored import stored_result
from rephrase_rl.config import JudgeConfig, PromptsConfig, RewardConfig
from rephrase_rl.errors import PromptError
from rephrase_rl.evaluation import EvaluationProtocol, EvaluationResult, evaluate
from rephrase_rl.evaluation.journal import FILE, SampleJournal
from rephrase_rl.records import to_json
from rephrase_rl.runs import RunDirectory, collect_manifest, package_versions
from rephrase_rl.runs.manifest import describe_commit
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rephrase_rl.assembly.benchmarks import LoadedBenchmark
    from rephrase_rl.config import BenchmarkConfig, RunConfig
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import JSON, Problem
    from rephrase_rl.rewards import Verifier
    from rephrase_rl.rollout import Engine


@dataclass(frozen=True, slots=True)
class EvaluationSetting:
    """How a run asks and judges, so that evaluation does it as training did."""

    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    rewards: tuple[RewardConfig, ...] = ()
    """Verifiers; empty: the task kind's own."""
    correctness: str | None = None
    """Of several rewards the one that decides failure; it judges."""
    chat_template_kwargs: Mapping[str, Any] | None = None
    """Passed to the chat template, such as ``enable_thinking``."""

    @classmethod
    def of_run(cls, config: RunConfig) -> EvaluationSetting:
        """The setting of a run's configuration, resolved or not."""
        return cls(
            config.prompts,
            config.rewards,
            config.guidance.get("correctness"),
            config.trainer.get("chat_template_kwargs"),
        )

    @property
    def judge(self) -> JudgeConfig | None:
        """The verifier that decides failure; None: the task kind's own."""
        return next((r for r in self.rewards if self.correctness in (None, r.verifier)), None)


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How an evaluation is carried out; it changes nothing of what is asked."""

    engine: EngineName = "transformers"
    resume: bool = False
    """Go on with what an earlier part has stored; finished benchmarks are not done again."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A benchmark with all that decides how it is asked and judged."""

    benchmark: LoadedBenchmark
    protocol: EvaluationProtocol
    template: PromptTemplate
    verifier: Verifier

    def put_to(
        self,
        engine: Engine,
        on_progress: Callable[[str, int, int], None] | None,
        journal: SampleJournal | None = None,
    ) -> EvaluationResult:
        config = self.benchmark.config
        keys = {"subject": config.subject, "difficulty": config.difficulty}
        return evaluate(
            engine,
            self.benchmark.problems,
            self.verifier,
            self.template,
            self.protocol,
            on_progress=_named(on_progress, config.name),
            label_keys={kind: key for kind, key in keys.items() if key is not None},
            journal=journal,
        )


def run_benchmarks(
    engine: Engine,
    benchmarks: Sequence[LoadedBenchmark],
    setting: EvaluationSetting,
    *,
    seed: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, EvaluationResult]:
    """Evaluate a policy in memory; results by benchmark name.

    The seed of each benchmark depends on the run's seed and the benchmark's name alone, so
    evaluations at different steps, and of different methods, draw the same random numbers.
    """
    results = {}
    for benchmark in benchmarks:
        question = _question(benchmark, setting, seed)
        try:
            results[benchmark.config.name] = question.put_to(engine, on_progress)
        finally:
            question.verifier.close()
    return results


def _question(benchmark: LoadedBenchmark, setting: EvaluationSetting, seed: int) -> _Question:
    config, problems = benchmark.config, benchmark.problems
    judge = config.judge or setting.judge
    template = benchmark_template(config, problems[0], setting.prompts)
    _tell_of_other_prompt(config.name, template, problems[0], setting.prompts)
    verifier = build_judge(judge, problems)
    protocol = EvaluationProtocol(
        name=config.name,
        samples_per_problem=config.samples_per_problem,
        temperature=config.temperature,
        top_p=config.top_p,
        max_new_tokens=config.max_new_tokens,
        verifier=verifier.name,
        solve_template=template.template_id,
        seed=derive_seed(seed, "evaluation", config.name),
        pass_at_k=tuple(sorted(set(config.ks or (1, config.samples_per_problem)))),
        solve_template_sha256=template.sha256,
        verifier_options=judge.options if judge is not None else {},
    )
    return _Question(benchmark, protocol, template, verifier)


def _tell_of_other_prompt(
    name: str, template: PromptTemplate, problem: Problem, prompts: PromptsConfig
) -> None:
    """Say that a benchmark with a prompt of its own asks otherwise than a run with one of its."""
    if prompts == PromptsConfig():
        return
    try:
        own = solve_template(problem, prompts)
    except PromptError:  # the run's style has none for problems of this kind
        return
    if own.template_id != template.template_id:
        warnings.warn(
            f"benchmark {name} asks with its own prompt {template.template_id}, training asks with "
            f"{own.template_id}; set the benchmark's prompt to null (--set prompt=null) to ask as "
            "training does",
            stacklevel=2,
        )


def store_result(
    run: RunDirectory,
    step: int,
    benchmark: LoadedBenchmark,
    result: EvaluationResult,
    made_by: Mapping[str, JSON],
) -> None:
    """Write a result under ``evals/<step>/<benchmark>/``.

    Args:
        run: Where.
        step: Optimiser steps of the policy.
        benchmark: What was asked.
        result: What was found.
        made_by: Model, engine and seed; versions, commit and what was read are added.
    """
    config = benchmark.config
    facts: dict[str, JSON] = {
        **made_by,
        "data": dict(benchmark.data),
        "benchmark": {"title": config.title, "source": config.source, "licence": config.licence},
    }
    write_evaluation(run, step, config.name, result, facts)


def write_evaluation(
    run: RunDirectory, step: int, name: str, result: EvaluationResult, facts: Mapping[str, JSON]
) -> None:
    """Write a result of any origin; versions, commit and time are added to the facts on it."""
    provenance: dict[str, JSON] = {
        **facts,
        "versions": package_versions(),
        "git": describe_commit(Path(__file__).resolve()),
        "stored_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    data = {**result_json(name, result), "provenance": provenance}
    run.write_evaluation(step, name, data, map(to_json, result.samples))


def result_json(name: str, result: EvaluationResult) -> JSON:
    """A result without its samples, which have a file of their own."""
    data = to_json(dataclasses.replace(result, samples=()))
    data.pop("samples")
    return {
        "benchmark": name,
        "samples_per_problem": result.protocol.samples_per_problem,
        **data,
    }


def evaluate_policy(
    model: str,
    benchmarks: Sequence[BenchmarkConfig],
    *,
    seed: int,
    setting: EvaluationSetting | None = None,
    run_path: Path | None = None,
    command: Sequence[str] = (),
    on_progress: Callable[[str, int, int], None] | None = None,
    options: EvaluationOptions | None = None,
) -> dict[str, EvaluationResult]:
    """Evaluate a policy on disk; ``engines.load_engine`` says in which number format.

    Args:
        model: Run directory, checkpoint or adapter folder, hub id or ``lab:NAME``.
        benchmarks: What to evaluate on.
        seed: Seed of the evaluation.
        setting: How to ask and judge; None: the defaults of the task kind.
        run_path: Run directory to store results in (made if it is not there), each benchmark as
            soon as it is done, and completions as they come. None: not stored.
        command: Command line, for the manifest of a new run directory.
        on_progress: Called with (benchmark, completions done, completions asked for).
        options: How it is carried out.

    Raises:
        ConfigError: ``run_path`` is a run that ``model`` does not belong to, or holds a part that
            was made with other settings.
        CheckpointError: It holds an unfinished evaluation, and it is not to be gone on with.
    """
    options = options or EvaluationOptions()
    setting = setting or EvaluationSetting()
    step = None if run_path is None else step_within(run_path, model)
    loaded = load_benchmarks(benchmarks)
    path = resolve_policy_path(model)
    engine = load_engine(path, options.engine, setting.chat_template_kwargs)
    if run_path is None:
        return run_benchmarks(engine, loaded, setting, seed=seed, on_progress=on_progress)
    if step is None:
        fingerprints = {b.config.name: b.data["sha256"] for b in loaded}
        run, step = create_evaluation_run(run_path, model, fingerprints, seed, command), 0
    else:
        run = RunDirectory.open(run_path)
    made_by: dict[str, JSON] = {
        "model": model,
        "weights": weights_fingerprint(path),
        "engine": options.engine,
        "seed": seed,
    }
    results = {}
    for benchmark in loaded:
        question = _question(benchmark, setting, seed)
        try:
            results[benchmark.config.name] = _stored_or_made(
                _Place(run, step, made_by, options.resume), question, engine, on_progress
            )
        finally:
            question.verifier.close()
    return results


@dataclass(frozen=True, slots=True)
class _Place:
    """Where results go, and what is to be said of them."""

    run: RunDirectory
    step: int
    made_by: Mapping[str, JSON]
    resume: bool


def _stored_or_made(
    place: _Place,
    question: _Question,
    engine: Engine,
    on_progress: Callable[[str, int, int], None] | None,
) -> EvaluationResult:
    benchmark = question.benchmark
    settings: dict[str, JSON] = {
        **place.made_by,
        "data": benchmark.data["sha256"],
        "protocol": to_json(question.protocol),
    }
    folder = place.run.evaluation_folder(place.step, benchmark.config.name)
    if place.resume:
        finished = stored_result(folder, question.protocol, settings)
        if finished is not None:
            return finished
    journal = SampleJournal.open(folder / FILE, settings, resume=place.resume)
    result = question.put_to(engine, on_progress, journal)
    store_result(place.run, place.step, benchmark, result, place.made_by)
    journal.remove()
    return result


def create_evaluation_run(
    run_path: Path,
    model: str,
    fingerprints: Mapping[str, JSON],
    seed: int,
    command: Sequence[str],
) -> RunDirectory:
    """A directory that holds evaluations of a model and no training.

    Args:
        run_path: A new folder.
        model: As it was named.
        fingerprints: Hash of each benchmark's data; None where it is not known.
        seed: Of the evaluation.
        command: Command line, for the manifest.
    """
    manifest = collect_manifest(
        list(command), seed, {"method": EVALUATION, "model": model, "data": fingerprints}
    )
    return RunDirectory.create(run_path, manifest, "{}\n")


def _named(
    on_progress: Callable[[str, int, int], None] | None, name: str
) -> Callable[[int, int], None] | None:
    if on_progress is None:
        return None
    return lambda done, total: on_progress(name, done, total)
