"""Scores of single problems, read back from the samples of an evaluation."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs.checked_reading import read_objects

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rephrase_rl.records import JSON
    from rephrase_rl.reports.arms import ComparedRun
    from rephrase_rl.reports.evaluations import EvaluationRow

ItemScores = dict[str, float]
"""Problem id -> mean reward of its scored samples; NaN where none was scored."""


def read_item_scores(run: ComparedRun, row: EvaluationRow) -> ItemScores:
    """Scores of the problems of one evaluation of a run.

    Returns:
        By problem id; empty if no samples were kept.

    Raises:
        CheckpointError: A sample has no problem id, or its value is no number.
    """
    file = run.directory.path / "evals" / str(row.step) / row.benchmark / "samples.jsonl"
    values: dict[str, list[float]] = {}
    for sample in read_objects(file):
        name = sample.get("problem_id")
        if not isinstance(name, str):
            raise _damaged(file, "problem_id", name, "text")
        scored = values.setdefault(name, [])
        value = sample.get("value")
        if value is None or sample.get("status", "scored") != "scored":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9:
            raise _damaged(file, "value", value, "a number")
        scored.append(float(value))
    return {name: fmean(scored) if scored else math.nan for name, scored in values.items()}


def common_problems(scores: Sequence[ItemScores]) -> list[str]:
    """Ids of the problems that all of them hold, in the order of the first."""
    return [name for name in scores[0] if all(name in other for other in scores[1:])]


def num_left_out(scores: Sequence[ItemScores]) -> int:
    """Problems that some of them hold and others do not."""
    return len({name for one in scores for name in one}) - len(common_problems(scores))


def as_table(scores: Sequence[ItemScores], names: Sequence[str]) -> list[list[float]]:
    """One row per run, one column per problem."""
    return [[one[name] for name in names] for one in scores]


def _damaged(file: Path, field: str, found: JSON, required: str) -> CheckpointError:
    return CheckpointError(
        f"{file}: found a sample with {field} {str(found)[:40]!r}, required: {required}; the file "
        "was changed from outside: restore it from a copy or evaluate again"
    )
