"""Runs and arms side by side: outcomes, tests, budgets, curves, the trilemma, differences."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rephrase_rl.records import to_json
from rephrase_rl.reports import arms as grouping
from rephrase_rl.reports.bands import make_panels
from rephrase_rl.reports.comparison_files import ComparisonPaths, write_files
from rephrase_rl.reports.config_differences import config_differences, manifest_differences
from rephrase_rl.reports.method_tests import compare_arms
from rephrase_rl.reports.protocols import SIZES, protocol_differences
from rephrase_rl.reports.thresholds import measure_thresholds
from rephrase_rl.reports.trilemma import make_trilemma

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import JSON
    from rephrase_rl.reports.arms import Arm, ComparedRun
    from rephrase_rl.reports.thresholds import Thresholds
    from rephrase_rl.reports.trilemma import Trilemma

COMPARISON_VERSION = 2
PROVENANCE = ("command", "git", "config_hash", "started_at", "hardware", "versions", "deviations")
"""Entries of each run's manifest that a comparison carries on, so that it is a card of its own."""


@dataclass(frozen=True, slots=True)
class ComparisonQuestions:
    """What a comparison is asked besides its runs."""

    baseline: str | None = None
    """Arm that the others are held against; None: ``grpo`` if there is one, else the first."""
    hard: tuple[str, ...] = ()
    """Benchmarks of what is to be learned; none: ``hard``, if runs were evaluated on it."""
    general: tuple[str, ...] = ()
    """Benchmarks of what is to be kept; none: ``general`` likewise."""
    threshold: float | None = None
    """Score on the first of ``hard`` to which times are measured; None: no times."""


def write_comparison(
    run_dirs: Sequence[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    questions: ComparisonQuestions | None = None,
) -> ComparisonPaths:
    """Write ``index.html``, ``comparison.{json,md}`` and figures of several runs.

    Runs that differ in their seed alone are one arm. Each run's own report is linked by a relative
    path if it is there (``write_report`` makes it).

    Args:
        run_dirs: At least two run directories. Runs have the folders' names, or as much of the
            path as tells them apart.
        out_dir: Folder for the comparison; made if needed.
        questions: What else to answer.

    Raises:
        CheckpointError: Fewer than two different runs, or one cannot be read, or the baseline names
            no arm.
        EvaluationError: An evaluation result lacks its estimate, or a benchmark is not there.
    """
    questions = questions or ComparisonQuestions()
    runs = grouping.read_runs([Path(run_dir) for run_dir in run_dirs])
    arms = grouping.group_into_arms(runs)
    baseline = grouping.choose_baseline(arms, questions.baseline)
    trilemma = make_trilemma(arms, questions.hard, questions.general)
    thresholds = _thresholds(arms, baseline, trilemma, questions)
    data = _gather(arms, baseline, trilemma, thresholds, Path(out_dir))
    return write_files(Path(out_dir), data, make_panels(arms), trilemma)


def _thresholds(
    arms: Sequence[Arm], baseline: Arm, trilemma: Trilemma, questions: ComparisonQuestions
) -> Thresholds | None:
    if questions.threshold is None:
        return None
    benchmark = next(iter(trilemma.hard), "hard")
    return measure_thresholds(arms, baseline, benchmark, questions.threshold)


def _gather(
    arms: Sequence[Arm],
    baseline: Arm,
    trilemma: Trilemma,
    thresholds: Thresholds | None,
    out: Path,
) -> dict[str, JSON]:
    """Everything that the comparison shows, as plain JSON."""
    names = sorted({row.benchmark for arm in arms for run in arm.runs for row in run.evaluations})
    benchmarks = [_benchmark(arms, name) for name in names]
    faults = {b["benchmark"]: _fault(b["unlike"]) for b in benchmarks}
    runs = [run for arm in arms for run in arm.runs]
    return {
        "comparison_version": COMPARISON_VERSION,
        "arms": [_arm(arm) for arm in arms],
        "runs": [_run(run, arm, out) for arm in arms for run in arm.runs],
        "baseline": baseline.label,
        "benchmarks": benchmarks,
        "tests": to_json(compare_arms(arms, baseline, faults)),
        "trilemma": to_json(trilemma),
        "thresholds": to_json(thresholds),
        "config_differences": [
            d._asdict() for d in config_differences([grouping.arm_config(a.runs[0]) for a in arms])
        ],
        "manifest_differences": [
            d._asdict() for d in manifest_differences([run.directory.manifest for run in runs])
        ],
        "warnings": [*_without_scores(names), *grouping.arm_warnings(arms)],
    }


def _without_scores(benchmarks: Sequence[str]) -> list[str]:
    if benchmarks:
        return []
    return [
        "no run has an evaluation, so there are no results to compare, only budgets and curves of "
        "training: `rephrase-rl eval RUN --benchmark ... --out RUN` makes one for each run "
        "afterwards, evaluation.benchmarks in the configuration during training"
    ]


def _arm(arm: Arm) -> dict[str, JSON]:
    return {
        "label": arm.label,
        "method": arm.manifest.get("method"),
        "model": arm.manifest.get("model"),
        "runs": [run.label for run in arm.runs],
        "seeds": [run.seed for run in arm.runs],
        "budget": mean_budget(arm),
    }


def mean_budget(arm: Arm) -> dict[str, JSON]:
    """Mean of every budget over the arm's runs; null where a run does not say."""
    facts = [_budget(run) for run in arm.runs]
    means: dict[str, JSON] = {}
    for name in facts[0]:
        known = [fact[name] for fact in facts if fact[name] is not None]
        means[name] = sum(known) / len(known) if len(known) == len(facts) else None
    return means


def _budget(run: ComparedRun) -> dict[str, JSON]:
    budget = run.budget
    return {
        "steps": budget.num_steps,
        "prompts": budget.prompts,
        "expert_texts": budget.expert_texts,
        "tokens_rollouts": budget.rollout.tokens,
        "tokens_rewrites": budget.rephrase.tokens,
        "tokens_training": budget.training_tokens,
        "tokens_evaluation": budget.evaluation_tokens,
        "wall_s": budget.wall_s,
        "peak_memory_host_bytes": budget.peak_memory_bytes.get("host"),
        "peak_memory_gpu_bytes": budget.peak_memory_bytes.get("gpu"),
    }


def _run(run: ComparedRun, arm: Arm, out: Path) -> dict[str, JSON]:
    page = run.directory.report / "index.html"
    # Both ends resolved: a link written through a symbolic link would count its ".." wrongly.
    relative = os.path.relpath(page.resolve(), out.resolve())
    return {
        "label": run.label,
        "arm": arm.label,
        "seed": run.seed,
        "report": quote(Path(relative).as_posix()) if page.is_file() else None,
        "finished": run.directory.summary is not None,
        "budget": _budget(run),
        **{name: run.directory.manifest.get(name) for name in PROVENANCE},
    }


def _benchmark(arms: Sequence[Arm], name: str) -> dict[str, JSON]:
    """The last evaluations of one benchmark, by arm and run."""
    rows = [row for arm in arms for run in arm.runs if (row := run.last(name)) is not None]
    unlike = protocol_differences(rows)
    return {
        "benchmark": name,
        "unlike": unlike,
        "protocol": to_json(rows[0].protocol) if not unlike else None,
        **{size: getattr(rows[0], size) for size in SIZES},
        "arms": [_arm_score(arm, name) for arm in arms],
    }


def _arm_score(arm: Arm, name: str) -> JSON:
    """Mean over the arm's runs with an interval over seeds, or over problems where it has one run.

    None if no run was evaluated.
    """
    from rephrase_rl.statistics import seed_mean_interval

    known = [(run, row) for run in arm.runs if (row := run.last(name)) is not None]
    if not known:
        return None
    per_run = [
        {
            "run": run.label,
            "seed": run.seed,
            "step": row.step,
            "avg_at_k": to_json(row.avg_at_k),
            "pass_at_k": to_json(row.pass_at_k),
            "at_start": to_json(start.avg_at_k) if (start := run.at_start(name)) else None,
            "unscorable": to_json(row.unscorable),
            "truncated": to_json(row.truncated),
        }
        for run, row in known
    ]
    score: JSON = {"over": "problems", **to_json(known[0][1].avg_at_k)}
    means = [row.avg_at_k.mean for _, row in known]
    scored = [mean for mean in means if mean is not None]
    if len(known) > 1 and len(scored) == len(means):
        score = {"over": "seeds", **to_json(seed_mean_interval(scored))}
    elif len(known) > 1:
        score = {"over": "seeds", "mean": None, "low": None, "high": None}
    return {"arm": arm.label, **score, "not_evaluated": len(arm.runs) - len(known), "runs": per_run}


def _fault(unlike: Sequence[str]) -> str:
    return f"not the same protocol: {', '.join(unlike)}" if unlike else ""
