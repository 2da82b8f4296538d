"""The compact summary of a cell: what the analysis needs, and nothing that it can compute."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.supervised import REWRITES
from rephrase_rl.lab.families import is_hard, lab_steps
from rephrase_rl.records import Problem
from rephrase_rl.runs import jsonl
from rephrase_rl.studies.runs import TRAINED, VALIDATION
from rephrase_rl.studies.store import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory
    from rephrase_rl.runs.directory import EvaluationEntry
    from rephrase_rl.studies.cells import Cell
    from rephrase_rl.studies.policies import StartingPolicy

AVG_SAMPLES = 4
"""Samples of avg@4: the first ones, where there are more."""
SERIES = {
    "grad_norm": "grad_norm",
    "entropy": "entropy",
    "all_failed": "groups/all_failed_fraction",
    "accepted": "injection/accepted",
    "candidates": "injection/candidates",
    "injected_logp": "injection/policy_logp",
    "own_logp": "rollouts/policy_logp",
    "expert_logp": "expert/policy_logp",
    "text_logp": "injection/logp_on_q",
    "whole_text_logp": "injection/text_logp",
    "context_logp": "injection/logp_on_context",
}
"""Figures of every step that a summary keeps, by their names in ``steps.jsonl``."""
_DIGITS = 4


def summary_of_base(cell: Cell, policy: StartingPolicy, run: RunDirectory) -> dict[str, JSON]:
    """Summary of the evaluation of a starting policy, with the lab's bars of it."""
    bars = json.loads((policy.folder / "bars.json").read_text(encoding="utf-8"))
    return {**_identity(cell, policy, run), "bars": bars, "test": _tests(run.evaluations())}


def summary_of_run(
    cell: Cell,
    policy: StartingPolicy,
    runs: Sequence[RunDirectory],
    cpu_s: Sequence[Sequence[float]],
) -> dict[str, JSON]:
    """Summary of a trained cell.

    Args:
        cell: What was varied.
        policy: It started from.
        runs: The run directory, after that of a first stage if there is one.
        cpu_s: For each run the seconds of CPU of every step.
    """
    run, steps = runs[-1], runs[-1].steps()
    tokens = [_tokens(stage) for stage in runs]
    earlier_tokens = sum(map(sum, tokens[:-1]))
    earlier_s = sum(map(sum, cpu_s[:-1]))
    return {
        **_identity(cell, policy, run),
        "config_hash": run.manifest["config_hash"],
        "steps": len(steps),
        "first_steps": sum(len(stage.steps()) for stage in runs[:-1]),
        "tokens": earlier_tokens + sum(tokens[-1]),
        "tokens_by_step": _running(tokens[-1], earlier_tokens),
        "cpu_s": round(earlier_s + sum(cpu_s[-1]), 2),
        "cpu_s_by_step": [round(s, 2) for s in _running(cpu_s[-1], earlier_s)],
        "curve": _curve(run.evaluations()),
        "series": {
            name: [_short(step.metrics.get(metric)) for step in steps]
            for name, metric in SERIES.items()
            if any(step.metrics.get(metric) is not None for step in steps)
        },
        **_of_groups(run.group_rows()),
        **_of_rewrites(run),
        "test": _tests(run.evaluations()),
    }


def _identity(cell: Cell, policy: StartingPolicy, run: RunDirectory) -> dict[str, JSON]:
    manifest = run.manifest
    named = {key: manifest[key] for key in ("command", "git", "started_at", "versions", "hardware")}
    return {
        "format_version": FORMAT_VERSION,
        "id": cell.cell_id,
        "cell": cell.to_json(),
        "policy": {
            "name": policy.name,
            "pretraining_seed": policy.pretraining_seed,
            "sha256": policy.sha256,
        },
        **named,
    }


def _tokens(run: RunDirectory) -> list[int]:
    names = ("tokens/rollout", "tokens/rephrase")
    return [int(sum(step.metrics.get(n) or 0.0 for n in names)) for step in run.steps()]


def _running(values: Iterable[Any], start: Any) -> list[Any]:
    total, sums = start, []
    for value in values:
        total += value
        sums.append(total)
    return sums


def _short(value: float | None) -> float | None:
    """Four significant digits; None where there is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def _curve(entries: Iterable[EvaluationEntry]) -> list[dict[str, JSON]]:
    """Validation accuracies by step."""
    points: dict[int, dict[str, JSON]] = {}
    for entry in entries:
        if entry.benchmark.startswith(VALIDATION):
            name = entry.benchmark.removeprefix(VALIDATION)
            point = points.setdefault(entry.step, {"step": entry.step})
            point[name] = round(entry.result["avg_at_k"]["mean"], 6)
    return [points[step] for step in sorted(points)]


def _tests(entries: Iterable[EvaluationEntry]) -> dict[str, JSON]:
    """Successes per problem by step and benchmark, one digit a problem.

    ``hard`` and ``trained`` have two strings: of the first four samples, and of all; the general
    abilities have a string each. A sample that could not be scored counts in no lab benchmark: the
    lab's verifier scores every text.
    """
    tests: dict[str, dict[str, JSON]] = {}
    for entry in entries:
        if entry.benchmark.startswith(VALIDATION):
            continue
        passed = _passed(entry)
        found = tests.setdefault(str(entry.step), {})
        if entry.benchmark in ("hard", TRAINED):
            found[entry.benchmark] = {
                "first": _digits(sum(row[:AVG_SAMPLES]) for row in passed.values()),
                "all": _digits(map(sum, passed.values())),
                "samples": len(next(iter(passed.values()))),
            }
            continue
        kinds: dict[str, list[int]] = defaultdict(list)
        for problem_id, row in passed.items():
            kinds[problem_id.partition("/")[0]].append(sum(row))
        samples = len(next(iter(passed.values())))
        texts = {kind: _digits(counts) for kind, counts in sorted(kinds.items())}
        found[entry.benchmark] = {**texts, "samples": samples}
    return tests


def _passed(entry: EvaluationEntry) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for sample in entry.samples():
        rows[sample["problem_id"]].append(int((sample["value"] or 0.0) >= 1.0))
    return rows


def _digits(counts: Iterable[int]) -> str:
    """Counts up to 9 as a string; no benchmark of a study has more samples."""
    return "".join(map(str, counts))


def _of_groups(rows: Iterable[Mapping[str, JSON]]) -> dict[str, JSON]:
    """Own success on fresh hard training problems by step, and how right accepted texts' steps are.

    A training problem comes once, so its own rollouts are draws on a problem never trained on.
    """
    passes: dict[int, list[float]] = defaultdict(list)
    valid = found = texts = 0
    for row in rows:
        problem = _problem(row)
        failed = row["failure_fraction"]
        if _is_hard_id(row["problem_id"]) and failed is not None:
            passes[row["step"]].append(1.0 - failed)
        for candidate in row["candidates"]:
            if candidate["accepted"] and candidate["origin"] == "rephrase":
                steps = lab_steps(candidate["text"], problem)
                valid, found, texts = valid + steps.valid, found + steps.found, texts + 1
    if not passes:
        return {}
    return {
        "own_hard": [round(fmean(passes[step]), 4) for step in sorted(passes)],
        "rewrites": {"accepted": texts, "steps_valid": valid, "steps_found": found},
    }


def _of_rewrites(run: RunDirectory) -> dict[str, JSON]:
    """How right the steps of a rewritten data set are; empty where none was made."""
    file = run.path / REWRITES
    if not file.is_file():
        return {}
    valid = found = texts = 0
    for row in jsonl.read_lines(file):
        problem = Problem(row["problem_id"], ({"role": "user", "content": _asked(row)},), "")
        for candidate in row["candidates"]:
            if candidate["accepted"] and _is_hard_id(row["problem_id"]):
                steps = lab_steps(candidate["text"], problem)
                valid, found, texts = valid + steps.valid, found + steps.found, texts + 1
    return {"rewrites": {"accepted": texts, "steps_valid": valid, "steps_found": found}}


def _asked(row: Mapping[str, JSON]) -> str:
    """The question, which is the second part of a lab problem's id."""
    return str(row["problem_id"].partition("/")[2])


def _problem(row: Mapping[str, JSON]) -> Problem:
    asked = ({"role": "user", "content": row["question"]},)
    return Problem(row["problem_id"], asked, row["reference_answer"], task_kind="lab")


def _is_hard_id(problem_id: str) -> bool:
    kind, _, question = problem_id.partition("/")
    return is_hard(kind, question)
