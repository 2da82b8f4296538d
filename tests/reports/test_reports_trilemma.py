"""Gain and loss of every run against its start, paired by problem."""

from __future__ import annotations

import pytest
from arm_runs import arm_run
from scipy import stats

from rephrase_rl.errors import EvaluationError
from rephrase_rl.reports.arms import group_into_arms, read_runs
from rephrase_rl.reports.trilemma import make_trilemma

HARD, GENERAL = [1.0, 0.5, 0.0, 1.0, 1.0], [1.0, 1.0, 0.5, 1.0, 0.5]


def made(*runs, hard=(), general=()):
    return make_trilemma(group_into_arms(read_runs([run.path for run in runs])), hard, general)


def test_a_point_is_the_paired_change_of_its_run(tmp_path):
    found = made(
        arm_run(tmp_path / "r1", "repo", 1, hard=HARD, general=GENERAL),
        arm_run(tmp_path / "g1", "grpo", 1),
    )
    assert (found.hard, found.general, found.missing) == (("hard",), ("general",), ())
    point = found.points[0]
    assert (point.arm, point.run, point.start_of) == ("repo", "r1", None)
    assert point.hard.mean == pytest.approx(0.7)
    # The start was 0 everywhere, so the interval is that of the scores themselves.
    expected = stats.ttest_1samp(HARD, 0).confidence_interval()
    assert (point.hard.low, point.hard.high) == pytest.approx((expected.low, expected.high))
    assert point.general.mean == pytest.approx(-0.2)


def test_a_run_without_a_start_borrows_one_from_the_same_policy(tmp_path):
    found = made(
        arm_run(tmp_path / "g1", "grpo", 1),
        arm_run(tmp_path / "r1", "repo", 1, start=False),
    )
    assert [(p.run, p.start_of) for p in found.points] == [("g1", None), ("r1", "g1")]
    other = made(
        arm_run(tmp_path / "g2", "grpo", 1, model="another"),
        arm_run(tmp_path / "r2", "repo", 1, start=False),
    )
    assert [p.run for p in other.points] == ["g2"]
    assert "r2: no evaluation of hard before training" in other.missing[0]


def test_several_benchmarks_are_averaged(tmp_path):
    found = made(
        arm_run(tmp_path / "a", "repo", 1, hard=HARD, general=GENERAL),
        arm_run(tmp_path / "b", "grpo", 1),
        hard=("hard",),
        general=("general", "hard"),
    )
    point = found.points[0]
    assert point.general.mean == pytest.approx((0.7 - 0.2) / 2)
    width = (point.general.high - point.general.low) / 2
    parts = [
        stats.ttest_1samp(v, 0).confidence_interval() for v in (HARD, [g - 1 for g in GENERAL])
    ]
    halves = [(part.high - part.low) / 2 for part in parts]
    assert width == pytest.approx((halves[0] ** 2 + halves[1] ** 2) ** 0.5 / 2)


def test_an_unknown_benchmark_is_refused_and_none_is_said(tmp_path):
    runs = arm_run(tmp_path / "a", "repo", 1), arm_run(tmp_path / "b", "grpo", 1)
    with pytest.raises(EvaluationError, match=r"--hard: found mmlu.*one of general, hard"):
        made(*runs, hard=("mmlu",))
    for run in runs:
        for step in ("0", "4"):
            (run.path / "evals" / step / "general").rename(run.path / "evals" / step / "other")
    found = made(*runs)
    assert (found.points, found.general) == ((), ())
    assert "--general" in found.missing[0]
