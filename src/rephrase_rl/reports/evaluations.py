"""Evaluation results of a run in the form that tables and figures need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import JSON
    from rephrase_rl.runs import EvaluationEntry, RunDirectory


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """An estimate with its interval; None where nothing could be scored."""

    mean: float | None
    low: float | None
    high: float | None
    n_clusters: int | None
    """Problems behind the estimate."""


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One evaluation of one benchmark."""

    step: int
    benchmark: str
    num_problems: int | None
    samples_per_problem: int | None
    avg_at_k: IntervalRow
    pass_at_k: Mapping[str, IntervalRow]
    """By k, in ascending order."""
    unscorable: JSON
    """A count, or counts by status; None: not recorded."""
    truncated: JSON
    """Completions cut at the length limit: a count or a share, as the result has it."""
    generated_tokens: int | None
    protocol: Mapping[str, JSON]


def read_evaluations(run: RunDirectory) -> list[EvaluationRow]:
    """Return the evaluations of a run, by step and benchmark.

    Raises:
        EvaluationError: A result lacks its estimate; all such results are named.
    """
    rows = []
    faults = []
    for entry in run.evaluations():
        result = entry.result
        if not isinstance(result, Mapping) or not _has_estimates(result):
            faults.append(f"{entry.samples_path.with_name('result.json')}")
            continue
        rows.append(_read_row(entry))
    if faults:
        raise EvaluationError(
            f"no 'avg_at_k' with mean, low and high, or a pass_at_k without a number k, in "
            f"{', '.join(faults)}; a report needs them: evaluate again or remove those folders"
        )
    return rows


def last_of_each(rows: Sequence[EvaluationRow]) -> dict[str, EvaluationRow]:
    """Return the evaluation after most steps of every benchmark, in order of name."""
    return {row.benchmark: row for row in sorted(rows, key=lambda row: (row.benchmark, row.step))}


def first_of_each(rows: Sequence[EvaluationRow]) -> dict[str, EvaluationRow]:
    """Return the earliest evaluation of every benchmark."""
    earliest: dict[str, EvaluationRow] = {}
    for row in sorted(rows, key=lambda row: row.step):
        earliest.setdefault(row.benchmark, row)
    return earliest


def _has_estimates(result: Mapping[str, JSON]) -> bool:
    samples = result.get("pass_at_k") or {}
    return isinstance(result.get("avg_at_k"), Mapping) and all(
        k.isdecimal() and len(k) < 10 for k in samples
    )


def _read_row(entry: EvaluationEntry) -> EvaluationRow:
    result = entry.result
    passes = result.get("pass_at_k") or {}
    protocol = result.get("protocol") or {}
    return EvaluationRow(
        step=entry.step,
        benchmark=entry.benchmark,
        num_problems=result.get("num_problems"),
        samples_per_problem=result.get("samples_per_problem", protocol.get("samples_per_problem")),
        avg_at_k=_read_interval(result["avg_at_k"]),
        pass_at_k={k: _read_interval(passes[k]) for k in sorted(passes, key=int)},
        unscorable=result.get("unscorable"),
        truncated=result.get("truncated", result.get("truncated_fraction")),
        generated_tokens=result.get("generated_tokens"),
        protocol=protocol,
    )


def _read_interval(data: JSON) -> IntervalRow:
    if not isinstance(data, Mapping):
        return IntervalRow(data, None, None, None)
    return IntervalRow(data.get("mean"), data.get("low"), data.get("high"), data.get("n_clusters"))
