"""Curves of the viewer as numbers: smoothed, with gaps, with intervals, never too many points."""

from __future__ import annotations

import math

from synthetic_run import group, metrics, refused, rescued, result

from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.records import StepRecord
from rephrase_rl.reports.evaluations import read_evaluations
from rephrase_rl.reports.viewer.charts import (
    MOST_POINTS,
    evaluation_chart,
    ledger_charts,
    run_charts,
)
from rephrase_rl.runs import RunDirectory


def test_a_short_run_is_drawn_step_by_step_with_its_gap():
    charts = {c.title: c for c in run_charts([StepRecord(i, metrics(i, 4)) for i in range(4)], [])}

    guidance = {line.label: line for line in charts["Guidance"].lines}
    accepted = guidance["accepted (of candidates)"]
    assert accepted.x == (0, 1, 2, 3)
    assert [value is None for value in accepted.y] == [False, True, False, False]
    assert accepted.faint == ()
    assert charts["Guidance"].share
    assert charts["Reward"].lines[0].y[0] == 0.4


def test_a_long_run_has_a_moving_mean_above_every_step():
    steps = [StepRecord(i, {"reward": float(i % 2)}) for i in range(200)]

    (chart,) = run_charts(steps, [])
    (line,) = chart.lines
    # 11 steps around the middle: five or six of them are ones.
    assert 0.4 < line.y[100] < 0.6
    assert line.faint[:2] == ((0, 0.0), (1, 1.0))


def test_points_do_not_grow_with_the_run():
    steps = [StepRecord(i, {"reward": math.sin(i * i)}) for i in range(5000)]

    (line,) = run_charts(steps, [])[0].lines
    assert len(line.x) == len(line.y) == MOST_POINTS
    assert len(line.faint) <= MOST_POINTS
    assert (line.x[0], line.x[-1]) == (0, 4999)


def test_metrics_without_a_figure_have_no_line():
    steps = [StepRecord(0, {"reward": None, "loss": 0.5})]
    assert [chart.title for chart in run_charts(steps, [])] == ["Loss"]
    assert run_charts([], []) == []


def test_evaluations_carry_their_intervals(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {}, "a: 1\n")
    for step, mean in ((0, 0.0), (4, 0.875), (8, None)):
        run.write_evaluation(step, "hard", result("hard", mean), [])

    (line,) = evaluation_chart(read_evaluations(run)).lines
    assert (line.x, line.y) == ((0, 4), (0.0, 0.875))
    assert (line.low, line.high) == ((0.0, 0.825), (0.05, 0.925))


def test_the_ledger_counts_as_stairs_and_draws_later_visits():
    records = [rescued(0, "a"), refused(0, "b"), group(2, "a", failure_fraction=0.75)]

    counts, later = ledger_charts(Ledger.from_records(records))
    assert counts.stairs
    assert [line.y for line in counts.lines] == [(2, 2), (1, 1), (0, 1)]
    assert (later.lines[0].x, later.lines[0].y) == ((2,), (0.25,))
    assert len(ledger_charts(Ledger.from_records(records[:2]))) == 1
    assert ledger_charts(Ledger.from_records([group(0, "easy")])) == []
    assert ledger_charts(Ledger()) == []
