"""The curves of a run as numbers for the page to draw: every step, its moving mean, intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.reports import series
from rephrase_rl.reports.ledger import cumulative_counts, later_pass_fractions
from rephrase_rl.reports.viewer.group import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.guidance.ledger import Ledger
    from rephrase_rl.records import StepRecord
    from rephrase_rl.reports.evaluations import EvaluationRow

MOST_POINTS = 400
"""Points of one line: about as many as a chart is wide."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    label: str
    x: tuple[float, ...]
    """Steps, ascending."""
    y: tuple[float | None, ...]
    """None: a gap."""
    faint: tuple[tuple[float, float | None], ...] = ()
    """Every step, drawn below a moving mean; empty where the line is every step itself."""
    low: tuple[float | None, ...] = ()
    """Lower ends of intervals; empty: no intervals."""
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """One quantity, or a few that belong together, over the steps of a run."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    share: bool = False
    """Whether the axis runs from 0 to 1."""
    stairs: bool = False
    """Whether a value holds until the next step."""


def run_charts(steps: Sequence[StepRecord], evaluations: Sequence[EvaluationRow]) -> list[Chart]:
    """Evaluations first, then the panels of ``series.PANELS`` that have figures."""
    charts = [evaluation_chart(evaluations)] if evaluations else []
    for panel in series.PANELS:
        lines = [_line(steps, metric, label) for metric, label in panel.lines]
        kept = tuple(line for line in lines if line is not None)
        if kept:
            charts.append(Chart(panel.title, panel.unit, kept, share=panel.share))
    return charts


def evaluation_chart(evaluations: Sequence[EvaluationRow]) -> Chart:
    """avg@k of every benchmark with its interval; an evaluation without a score is left out."""
    lines = []
    for name in sorted({row.benchmark for row in evaluations}):
        rows = [r for r in evaluations if r.benchmark == name and r.avg_at_k.mean is not None]
        if rows:
            lines.append(
                Line(
                    name,
                    x=tuple(row.step for row in rows),
                    y=tuple(rounded(row.avg_at_k.mean) for row in rows),
                    low=tuple(rounded(row.avg_at_k.low) for row in rows),
                    high=tuple(rounded(row.avg_at_k.high) for row in rows),
                )
            )
    return Chart("Evaluation", "avg@k, with 95 % intervals", tuple(lines), share=True)


def ledger_charts(ledger: Ledger) -> list[Chart]:
    """Counts of problems that began all failed, and what their own rollouts did later."""
    counts = cumulative_counts(ledger)
    if not counts or not counts[-1].seen:
        return []
    places = series.evenly_spaced(range(len(counts)), min(len(counts), MOST_POINTS))
    kept = [counts[place] for place in places]
    x = tuple(entry.step for entry in kept)
    charts = [
        Chart(
            "Problems that began all failed",
            "problems so far",
            (
                Line("all failed at first", x, tuple(entry.seen for entry in kept)),
                Line("with an injection", x, tuple(entry.intervened for entry in kept)),
                Line("solved unguided", x, tuple(entry.solved for entry in kept)),
            ),
            stairs=True,
        )
    ]
    later = later_pass_fractions(ledger)
    if later:
        line = _smoothed("own pass share", [s for s, _ in later], [share for _, share in later])
        charts.append(Chart("Own rollouts at later visits", "share that passes", (line,), True))
    return charts


def _line(steps: Sequence[StepRecord], metric: str, label: str) -> Line | None:
    values = series.values_of(steps, metric)
    if not series.has_figures(values):
        return None
    return _smoothed(label, [record.step for record in steps], values)


def _smoothed(label: str, steps: Sequence[int], values: Sequence[float]) -> Line:
    window = series.smoothing_window(len(values))
    places = series.evenly_spaced(range(len(steps)), min(len(steps), MOST_POINTS))
    smooth = series.moving_average(values, window, places)
    faint = series.outline(values, MOST_POINTS) if window > 1 else []
    return Line(
        label,
        x=tuple(steps[place] for place in places),
        y=tuple(rounded(value) for value in smooth),
        faint=tuple((steps[place], rounded(values[place])) for place in faint),
    )
