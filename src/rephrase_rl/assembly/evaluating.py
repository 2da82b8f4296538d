"""Evaluation of a policy on the benchmarks of a configuration, into a run directory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.assembly.objects import (
    build_verifiers,
    load_data,
    load_model,
    solve_template,
)
from rephrase_rl.config import ModelConfig, PromptsConfig
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import CheckpointError
from rephrase_rl.evaluation import EvaluationProtocol, EvaluationResult, evaluate
from rephrase_rl.records import to_json
from rephrase_rl.rollout import TransformersEngine
from rephrase_rl.runs import RunDirectory, collect_manifest
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rephrase_rl.config import BenchmarkConfig, RewardConfig
    from rephrase_rl.records import JSON

FINAL_POLICY = "final"
"""Folder under ``checkpoints/`` that holds the policy at the end of training."""


def run_benchmarks(
    model: Any,
    tokenizer: Any,
    benchmarks: Sequence[BenchmarkConfig],
    *,
    prompts: PromptsConfig,
    rewards: Sequence[RewardConfig] = (),
    correctness: str | None = None,
    seed: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, EvaluationResult]:
    """Evaluate a policy in memory; results by benchmark name.

    Of several rewards the one named ``correctness``, which decides failure in training, judges.

    The seed of each benchmark depends on the run's seed and the benchmark's name alone, so
    evaluations at different steps, and of different methods, draw the same random numbers.
    """
    engine = TransformersEngine(model, tokenizer)
    results = {}
    for benchmark in benchmarks:
        problems = load_data(benchmark.data)[: benchmark.limit]
        judging = [r for r in rewards if correctness in (None, r.verifier)][:1]
        verifier, _ = build_verifiers(judging, problems)[0]
        template = solve_template(problems[0], prompts)
        protocol = EvaluationProtocol(
            name=benchmark.name,
            samples_per_problem=benchmark.samples_per_problem,
            temperature=benchmark.temperature,
            top_p=benchmark.top_p,
            max_new_tokens=benchmark.max_new_tokens,
            verifier=verifier.name,
            solve_template=template.template_id,
            seed=derive_seed(seed, "evaluation", benchmark.name),
        )
        try:
            results[benchmark.name] = evaluate(
                engine,
                problems,
                verifier,
                template,
                protocol,
                on_progress=_named(on_progress, benchmark.name),
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
    run_path: Path | None = None,
    prompts: PromptsConfig | None = None,
    rewards: Sequence[RewardConfig] = (),
    command: Sequence[str] = (),
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, EvaluationResult]:
    """Evaluate a policy on disk.

    Args:
        model: Run directory, checkpoint folder, hub id or ``lab:NAME``.
        benchmarks: What to evaluate on.
        seed: Seed of the evaluation.
        run_path: Run directory to store results in (made if it is not there). None: not stored.
        prompts: Template ids; None: the defaults of the task kind.
        rewards: Verifiers; empty: the task kind's own.
        command: Command line, for the manifest of a new run directory.
        on_progress: Called with (benchmark, completions done, completions asked for).
    """
    source = resolve_policy_path(model)
    policy = load_model(ModelConfig(path=source))
    results = run_benchmarks(
        policy.model,
        policy.tokenizer,
        benchmarks,
        prompts=prompts or PromptsConfig(),
        rewards=rewards,
        seed=seed,
        on_progress=on_progress,
    )
    if run_path is not None:
        run, step = _open_or_create(run_path, model, benchmarks, seed, command)
        store_results(run, step, results)
    return results


def _open_or_create(
    run_path: Path,
    model: str,
    benchmarks: Sequence[BenchmarkConfig],
    seed: int,
    command: Sequence[str],
) -> tuple[RunDirectory, int]:
    """The run to store in, and the number of optimiser steps its final policy has had."""
    if (run_path / "manifest.json").is_file():
        run = RunDirectory.open(run_path)
        steps = run.steps()
        return run, steps[-1].step + 1 if steps else 0
    fingerprints = {b.name: data_fingerprint(load_data(b.data)[: b.limit]) for b in benchmarks}
    manifest = collect_manifest(
        list(command), seed, {"method": "evaluation", "model": model, "data": fingerprints}
    )
    return RunDirectory.create(run_path, manifest, "{}\n"), 0


def _named(
    on_progress: Callable[[str, int, int], None] | None, name: str
) -> Callable[[int, int], None] | None:
    if on_progress is None:
        return None
    return lambda done, total: on_progress(name, done, total)
