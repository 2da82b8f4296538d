"""Curves of an arm: the mean over its seeds, and the band that they span."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from rephrase_rl.reports import series
from rephrase_rl.reports.budgets import seconds_by_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.reports.arms import Arm, ComparedRun

Axis: TypeAlias = Literal["steps", "tokens", "time"]
AXES: tuple[Axis, ...] = ("steps", "tokens", "time")
"""What a curve runs over: optimiser steps, tokens sampled in training, minutes of training."""

METRICS = (
    ("reward", "Reward", False),
    ("groups/all_failed_fraction", "Groups in which all failed", True),
    ("injection/rescued_fraction", "Rescued groups", True),
)
"""Metric, title, and whether its axis runs from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Band:
    """One arm's curve of one quantity."""

    arm: str
    xs: tuple[float, ...]
    """Mean over seeds of where they were at that step."""
    mean: tuple[float, ...]
    low: tuple[float, ...]
    """Smallest of the seeds."""
    high: tuple[float, ...]
    num_seeds: int


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """One quantity over one axis, a band per arm."""

    title: str
    axis: Axis
    share: bool
    dots: bool
    """Whether points are few and marked: evaluations."""
    bands: tuple[Band, ...]


class _Curve(NamedTuple):
    """One run's values and where it was, by step."""

    values: dict[int, float]
    places: dict[int, float]


def make_panels(arms: Sequence[Arm]) -> list[CurvePanel]:
    """Every benchmark and metric that a run has figures of, over every axis."""
    names = sorted({row.benchmark for arm in arms for run in arm.runs for row in run.evaluations})
    panels = []
    for name in names:
        for axis in AXES:
            curves = [[_evaluation_curve(run, name, axis) for run in arm.runs] for arm in arms]
            panels.append(_panel(f"Evaluation: {name}", axis, arms, curves, share=True, dots=True))
    for metric, title, share in METRICS:
        for axis in AXES:
            curves = [[_metric_curve(run, metric, axis) for run in arm.runs] for arm in arms]
            panels.append(_panel(title, axis, arms, curves, share=share, dots=False))
    return [panel for panel in panels if panel.bands]


def left_out(panels: Sequence[CurvePanel]) -> list[str]:
    """Titles of the quantities of which no run has figures."""
    shown = {panel.title for panel in panels}
    return [title for _, title, _ in METRICS if title not in shown]


def smoothing_window(arms: Sequence[Arm]) -> int:
    """Width of the moving average of every curve: that of the longest run."""
    return max(series.smoothing_window(len(run.steps)) for arm in arms for run in arm.runs)


def _panel(
    title: str,
    axis: Axis,
    arms: Sequence[Arm],
    curves: Sequence[Sequence[_Curve]],
    *,
    share: bool,
    dots: bool,
) -> CurvePanel:
    bands = [_band(arm.label, own) for arm, own in zip(arms, curves, strict=True)]
    return CurvePanel(title, axis, share, dots, tuple(band for band in bands if band is not None))


def _band(label: str, curves: Sequence[_Curve]) -> Band | None:
    """Mean and range over the seeds at every step that all of them have reached.

    A value that a seed lacks there is left out. Beyond the end of the shortest run the mean would
    be of other seeds than before, so the curve ends.
    """
    curves = [curve for curve in curves if any(map(math.isfinite, curve.values.values()))]
    if not curves:
        return None
    end = min(max(curve.values) for curve in curves)
    rows = []
    for step in sorted({step for curve in curves for step in curve.values if step <= end}):
        places = [c.places[step] for c in curves if math.isfinite(c.places.get(step, math.nan))]
        values = [c.values[step] for c in curves if math.isfinite(c.values.get(step, math.nan))]
        if places:
            known = values or [math.nan]
            mean = math.fsum(known) / len(known)
            rows.append((math.fsum(places) / len(places), mean, min(known), max(known)))
    if not rows:
        return None
    xs, means, lows, highs = zip(*rows, strict=True)
    return Band(label, xs, means, lows, highs, len(curves))


def _metric_curve(run: ComparedRun, metric: str, axis: Axis) -> _Curve:
    """The moving average of a metric, at no more points than a figure can show."""
    values = series.values_of(run.steps, metric)
    if not series.has_figures(values):
        return _Curve({}, {})
    places = series.evenly_spaced(range(len(values)), min(len(values), series.MOST_POINTS))
    smooth = series.moving_average(values, series.smoothing_window(len(values)), places)
    where = _places(run, axis)
    steps = [run.steps[i].step for i in places]
    return _Curve(
        dict(zip(steps, smooth, strict=True)),
        {step: where.get(step + 1, math.nan) for step in steps}
        if axis != "steps"
        else {step: float(step) for step in steps},
    )


def _evaluation_curve(run: ComparedRun, name: str, axis: Axis) -> _Curve:
    rows = [row for row in run.evaluations if row.benchmark == name]
    where = _places(run, axis)
    means = [math.nan if row.avg_at_k.mean is None else row.avg_at_k.mean for row in rows]
    steps = [row.step for row in rows]
    return _Curve(
        dict(zip(steps, means, strict=True)),
        {step: where.get(step, math.nan) for step in steps},
    )


def _places(run: ComparedRun, axis: Axis) -> dict[int, float]:
    """Where the run was on the axis after so many steps."""
    done = [record.step + 1 for record in run.steps]
    if axis == "steps":
        return {0: 0.0, **{step: float(step) for step in done}}
    if axis == "tokens":
        return {0: 0.0, **dict(zip(done, series.cumulative_tokens(run.steps), strict=True))}
    seconds = seconds_by_step(run.directory)
    total, minutes = 0.0, {0: 0.0}
    for step in done:
        total += seconds.get(step - 1, math.nan)
        minutes[step] = total / 60
    return minutes
