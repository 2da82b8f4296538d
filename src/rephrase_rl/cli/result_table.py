"""Evaluation results as a table of shares with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from rephrase_rl.cli.console import output

if TYPE_CHECKING:
    from rephrase_rl.evaluation import EvaluationResult
    from rephrase_rl.statistics import Interval


def print_results(arms: Mapping[str, Mapping[str, EvaluationResult]]) -> None:
    """Print avg@k of each benchmark (columns) for each arm (rows)."""
    names = list(dict.fromkeys(name for results in arms.values() for name in results))
    first = {
        name: next(results[name] for results in arms.values() if name in results) for name in names
    }
    table = Table(title="mean score, 95 % interval over problems")
    table.add_column("arm")
    for name in names:
        protocol = first[name].protocol
        table.add_column(f"{name}\navg@{protocol.samples_per_problem}", justify="right")
    for arm, results in arms.items():
        cells = [interval_text(results[n].avg_at_k) if n in results else "-" for n in names]
        table.add_row(arm, *cells)
    output.print(table, soft_wrap=False)


def print_measures(results: Mapping[str, EvaluationResult]) -> None:
    """Print every measure of each benchmark, and avg@k of its parts."""
    table = Table("benchmark", "problems", "measure", "mean, 95 % interval over problems")
    for name, result in results.items():
        k = result.protocol.samples_per_problem
        table.add_row(name, str(result.num_problems), f"avg@{k}", interval_text(result.avg_at_k))
        for measure, intervals in (
            ("pass@", result.pass_at_k),
            ("pass^", result.pass_hat_k),
            ("maj@", result.maj_at_k),
        ):
            for size, interval in intervals.items():
                table.add_row("", "", f"{measure}{size}", interval_text(interval))
        for kind, parts in result.by_label.items():
            for label, interval in parts.items():
                cell = f"avg@{k}, {kind} {label}"
                table.add_row("", str(interval.n_clusters), cell, interval_text(interval))
    output.print(table, soft_wrap=False)


def interval_text(interval: Interval) -> str:
    """``0.875 (0.83 to 0.91)``; ``-`` if nothing could be scored.

    Example:
        >>> from rephrase_rl.statistics import Interval
        >>> interval_text(Interval(0.875, 0.83, 0.91, 100))
        '0.875 (0.83 to 0.91)'
    """
    if not math.isfinite(interval.mean):
        return "-"
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ({interval.low:.2f} to {interval.high:.2f})"
