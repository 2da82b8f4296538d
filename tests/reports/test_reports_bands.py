"""Curves of arms: mean and range over seeds, over steps, tokens and time."""

from __future__ import annotations

import math

import pytest
from arm_runs import arm_run

from rephrase_rl.records import StepRecord
from rephrase_rl.reports.arms import group_into_arms, read_runs
from rephrase_rl.reports.bands import left_out, make_panels


@pytest.fixture
def arms(tmp_path):
    runs = [
        arm_run(tmp_path / "r1", "repo", 1, hard=[1.0, 1.0]),
        arm_run(tmp_path / "r3", "repo", 3, hard=[0.5, 0.5]),
        arm_run(tmp_path / "g1", "grpo", 1, hard=[0.0, 0.0]),
    ]
    return group_into_arms(read_runs([run.path for run in runs]))


def panel(arms, title, axis):
    return next(p for p in make_panels(arms) if (p.title, p.axis) == (title, axis))


def test_a_band_spans_the_seeds_around_their_mean(arms):
    repo, grpo = panel(arms, "Evaluation: hard", "steps").bands
    assert (repo.arm, repo.num_seeds, grpo.num_seeds) == ("repo", 2, 1)
    assert repo.xs == (0.0, 4.0)
    assert (repo.low, repo.mean, repo.high) == ((0.0, 0.5), (0.0, 0.75), (0.0, 1.0))


def test_tokens_and_minutes_are_means_over_the_seeds(arms):
    # Seeds 1 and 3 sample 101 and 103 tokens a step; a step trains for 3 - 1 seconds.
    tokens = panel(arms, "Reward", "tokens").bands[0]
    assert tokens.xs == pytest.approx((102.0, 204.0, 306.0, 408.0))
    minutes = panel(arms, "Reward", "time").bands[0]
    assert minutes.xs == pytest.approx([2 * step / 60 for step in (1, 2, 3, 4)])
    assert panel(arms, "Reward", "steps").bands[0].xs == (0.0, 1.0, 2.0, 3.0)


def test_a_curve_ends_where_a_seed_ends(tmp_path, arms):
    longer = arm_run(tmp_path / "r5", "repo", 5, hard=[1.0, 1.0])
    longer.append_step(StepRecord(4, {"reward": 9.0}))
    runs = [run.directory.path for arm in arms for run in arm.runs]
    again = group_into_arms(read_runs([*runs, longer.path]))
    assert panel(again, "Reward", "steps").bands[0].xs[-1] == 3.0


def test_missing_figures_leave_gaps_and_missing_quantities_are_named(tmp_path):
    runs = []
    for name in ("a", "b"):
        run = arm_run(tmp_path / name, "repo", ord(name))
        values = ["null", "1.0"] if name == "a" else ["null", "2.0"]
        lines = [f'{{"step": {i}, "metrics": {{"reward": {v}}}}}' for i, v in enumerate(values)]
        (run.path / "steps.jsonl").write_text("\n".join(lines) + "\n")
        runs.append(run)
    panels = make_panels(group_into_arms(read_runs([run.path for run in runs])))
    (band,) = next(p for p in panels if (p.title, p.axis) == ("Reward", "steps")).bands
    assert math.isnan(band.mean[0])
    assert (band.low[1], band.mean[1], band.high[1]) == (1.0, 1.5, 2.0)
    assert left_out(panels) == ["Groups in which all failed", "Rescued groups"]
