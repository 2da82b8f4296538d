"""Small runs of several methods and seeds, with a score for every problem, for comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rephrase_rl.records import StepRecord
from rephrase_rl.runs import RunDirectory
from reports.synthetic_run import CONFIG, MANIFEST, result

PROTOCOL = {"temperature": 1.0, "verifier": "exact", "samples_per_problem": 2}


def arm_run(
    path: Path,
    method: str,
    seed: int,
    *,
    hard: list[float] | None = None,
    general: list[float] | None = None,
    start: bool = True,
    config: str = CONFIG,
    **manifest: Any,
) -> RunDirectory:
    """A run of four steps; scores of single problems at the end, 0 (hard) and 1 (general) before.

    Args:
        path: Folder.
        method: Of configuration and manifest.
        seed: Likewise.
        hard: Mean reward of each hard problem after training; multiples of 1/2.
        general: The same of the general ones.
        start: Whether it was evaluated before training.
        config: YAML text with method ``repo`` and seed 3.
        manifest: Changes to the manifest.
    """
    text = config.replace("repo", method).replace("seed: 3", f"seed: {seed}")
    run = RunDirectory.create(path, MANIFEST | {"method": method, "seed": seed} | manifest, text)
    for step in range(4):
        figures = {"reward": 0.1 * step + 0.01 * seed, "tokens/rollout": 100.0 + seed}
        run.append_step(StepRecord(step, figures))
        run.append_timing(step, {"time/step_s": 3.0, "time/evaluation_s": 1.0})
    hard, general = hard or [1.0, 0.5, 0.0, 1.0], general or [1.0, 1.0, 0.5, 1.0]
    if start:
        write_scores(run, 0, "hard", [0.0] * len(hard), seed)
        write_scores(run, 0, "general", [1.0] * len(general), seed)
    write_scores(run, 4, "hard", hard, seed)
    write_scores(run, 4, "general", general, seed)
    run.write_summary({"wall_s": 8.0 + seed})
    return run


def write_scores(
    run: RunDirectory, step: int, name: str, means: list[float], seed: int, **changes: Any
) -> None:
    """An evaluation of two samples per problem with these mean rewards."""
    samples = [
        {
            "problem_id": f"{name}-{i}",
            "sample": s,
            "value": float(mean > 0.5 * s),
            "status": "scored",
        }
        for i, mean in enumerate(means)
        for s in range(2)
    ]
    for sample in samples:
        assert sample["value"] in (0.0, 1.0)
    data = result(
        name,
        sum(means) / len(means),
        num_problems=len(means),
        samples_per_problem=2,
        protocol=PROTOCOL | {"name": name, "seed": seed},
    )
    run.write_evaluation(step, name, data | changes, samples)
