"""Evaluation of a policy on the benchmarks of a configuration, into a run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import (
    build_judge,
    load_data,
    load_model,
    solve_template,
)
from rephrase_rl.config import (
    BenchmarkConfig,
    JudgeConfig,
    ModelConfig,
    PromptsConfig,
    RewardConfig,
)
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import CheckpointError, ConfigError, DataError
from rephrase_rl.evaluation import EvaluationProtocol, EvaluationResult, evaluate
from rephrase_rl.records import to_json
from rephrase_rl.rollout import TransformersEngine
from rephrase_rl.runs import RunDirectory, collect_manifest
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rephrase_rl.config import RunConfig
    from rephrase_rl.records import JSON, Problem

FINAL_POLICY = "final"
"""Folder under ``checkpoints/`` that holds the policy at the end of training."""


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
class LoadedBenchmark:
    """A benchmark with its problems."""

    config: BenchmarkConfig
    problems: list[Problem]


def load_benchmarks(benchmarks: Sequence[BenchmarkConfig]) -> list[LoadedBenchmark]:
    """Read the problems of benchmarks, before hours are spent on a run that needs them.

    Raises:
        DataError: A source is missing, or holds no problem.
    """
    loaded = []
    for benchmark in benchmarks:
        problems = load_data(benchmark.data)[: benchmark.limit]
        if not problems:
            raise DataError(
                f"benchmark {benchmark.name}: {benchmark.data.path} holds no problem; at least "
                "one is required: check path, split and limit"
            )
        loaded.append(LoadedBenchmark(benchmark, problems))
    return loaded


def run_benchmarks(
    model: Any,
    tokenizer: Any,
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
    kwargs = setting.chat_template_kwargs
    engine = TransformersEngine(
        model, tokenizer, chat_template_kwargs=None if kwargs is None else dict(kwargs)
    )
    results = {}
    for benchmark in benchmarks:
        config, problems = benchmark.config, benchmark.problems
        verifier = build_judge(config.judge or setting.judge, problems)
        template = solve_template(problems[0], setting.prompts)
        protocol = EvaluationProtocol(
            name=config.name,
            samples_per_problem=config.samples_per_problem,
            temperature=config.temperature,
            top_p=config.top_p,
            max_new_tokens=config.max_new_tokens,
            verifier=verifier.name,
            solve_template=template.template_id,
            seed=derive_seed(seed, "evaluation", config.name),
        )
        try:
            results[config.name] = evaluate(
                engine,
                problems,
                verifier,
                template,
                protocol,
                on_progress=_named(on_progress, config.name),
            )
        finally:
            verifier.close()
    return results


def store_results(run: RunDirectory, step: int, results: dict[str, EvaluationResult]) -> None:
    """Write results under ``evals/<step>/<benchmark>/``."""
    for name, result in results.items():
        run.write_evaluation(step, name, result_json(name, result), map(to_json, result.samples))


def result_json(name: str, result: EvaluationResult) -> JSON:
    """A result without its samples, which have a file of their own."""
    data = to_json(dataclasses.replace(result, samples=()))
    data.pop("samples")
    return {
        "benchmark": name,
        "samples_per_problem": result.protocol.samples_per_problem,
        **data,
    }


def resolve_policy_path(model: str) -> str:
    """The weights that a user means: a run's final policy, a folder, a hub id or a lab name."""
    path = Path(model)
    if (path / "manifest.json").is_file():
        final = path / "checkpoints" / FINAL_POLICY
        if not (final / "config.json").is_file():
            raise CheckpointError(
                f"{path} is a run without a final policy ({final} is missing): the run has not "
                "finished; resume it with `rephrase-rl train CONFIG --resume`, or name a folder "
                f"under {path / 'checkpoints'}"
            )
        return str(final)
    return model


def evaluate_policy(
    model: str,
    benchmarks: Sequence[BenchmarkConfig],
    *,
    seed: int,
    setting: EvaluationSetting | None = None,
    run_path: Path | None = None,
    command: Sequence[str] = (),
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, EvaluationResult]:
    """Evaluate a policy on disk, with weights in float32.

    Args:
        model: Run directory, checkpoint folder, hub id or ``lab:NAME``.
        benchmarks: What to evaluate on.
        seed: Seed of the evaluation.
        setting: How to ask and judge; None: the defaults of the task kind.
        run_path: Run directory to store results in (made if it is not there). None: not stored.
        command: Command line, for the manifest of a new run directory.
        on_progress: Called with (benchmark, completions done, completions asked for).

    Raises:
        ConfigError: ``run_path`` is a run that ``model`` does not belong to.
    """
    step = None if run_path is None else _step_within(run_path, model)
    loaded = load_benchmarks(benchmarks)
    policy = load_model(ModelConfig(path=resolve_policy_path(model)))
    results = run_benchmarks(
        policy.model,
        policy.tokenizer,
        loaded,
        setting or EvaluationSetting(),
        seed=seed,
        on_progress=on_progress,
    )
    if run_path is not None:
        if step is None:
            run = _create_run(run_path, model, loaded, seed, command)
        else:
            run = RunDirectory.open(run_path)
        store_results(run, step or 0, results)
    return results


def _step_within(run_path: Path, model: str) -> int | None:
    """Optimiser steps that a policy of the run has had; None if there is no run yet."""
    if not (run_path / "manifest.json").is_file():
        return None
    run, policy = RunDirectory.open(run_path), Path(model).resolve()
    if policy in (run.path.resolve(), (run.checkpoints / FINAL_POLICY).resolve()):
        return run.steps()[-1].step + 1
    if policy.parent == run.checkpoints.resolve() and policy.name.startswith("checkpoint-"):
        return int(policy.name.removeprefix("checkpoint-"))
    raise ConfigError(
        f"results of {model} were to be stored in {run_path}, which is another policy's run; "
        "required: the run itself, one of its checkpoints, or a new folder: choose another --out"
    )


def _create_run(
    run_path: Path,
    model: str,
    benchmarks: Sequence[LoadedBenchmark],
    seed: int,
    command: Sequence[str],
) -> RunDirectory:
    fingerprints = {b.config.name: data_fingerprint(b.problems) for b in benchmarks}
    manifest = collect_manifest(
        list(command), seed, {"method": "evaluation", "model": model, "data": fingerprints}
    )
    return RunDirectory.create(run_path, manifest, "{}\n")


def _named(
    on_progress: Callable[[str, int, int], None] | None, name: str
) -> Callable[[int, int], None] | None:
    if on_progress is None:
        return None
    return lambda done, total: on_progress(name, done, total)
