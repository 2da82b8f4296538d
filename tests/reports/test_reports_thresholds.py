"""Times to a score in steps, tokens and seconds, with runs that never get there."""

from __future__ import annotations

import pytest
from arm_runs import arm_run, write_scores

from rephrase_rl.errors import EvaluationError
from rephrase_rl.reports.arms import group_into_arms, read_runs
from rephrase_rl.reports.thresholds import measure_thresholds


@pytest.fixture
def arms(tmp_path):
    """RePO is there at step 2 and 4, GRPO never; token counts are 100 + seed a step."""
    runs = []
    for seed in (1, 2):
        run = arm_run(tmp_path / f"r{seed}", "repo", seed, hard=[1.0, 1.0])
        write_scores(run, 2, "hard", [1.0 if seed == 1 else 0.0, 0.5], seed)
        runs += [run, arm_run(tmp_path / f"g{seed}", "grpo", seed, hard=[0.0, 0.5])]
    return group_into_arms(read_runs([run.path for run in runs]))


def test_the_first_evaluation_at_the_threshold_counts(arms):
    found = measure_thresholds(arms, arms[1], "hard", 0.75)
    by_run = {a.run: (a.reached, a.steps, a.tokens, a.seconds) for a in found.arrivals}
    # A step takes 3 s, of which 1 s is evaluation.
    assert by_run["r1"] == (True, 2, 202.0, 4.0)
    assert by_run["r2"] == (True, 4, 408.0, 8.0)
    assert by_run["g1"] == (False, 4, 404.0, 8.0)


def test_arms_are_compared_with_those_that_never_get_there(arms):
    found = measure_thresholds(arms, arms[1], "hard", 0.75)
    steps = {entry.arm: entry for entry in found.by_arm if entry.unit == "steps"}
    assert (steps["repo"].time.num_reached, steps["grpo"].time.num_reached) == (2, 0)
    assert steps["grpo"].time.median is None
    assert steps["grpo"].p_value is None
    # Of the C(4, 2) = 6 divisions this one and its mirror image are the most extreme.
    assert steps["repo"].p_value == pytest.approx(2 / 6)
    assert steps["repo"].p_holm == steps["repo"].p_value
    assert {entry.unit for entry in found.by_arm} == {"steps", "tokens", "seconds"}


def test_runs_without_times_have_no_time_in_seconds(arms):
    for arm in arms:
        for run in arm.runs:
            (run.directory.path / "timings.jsonl").unlink()
    found = measure_thresholds(arms, arms[1], "hard", 0.75)
    assert {entry.unit for entry in found.by_arm} == {"steps", "tokens"}


def test_what_cannot_be_measured_is_refused(arms):
    with pytest.raises(EvaluationError, match="no run was evaluated on 'mmlu'"):
        measure_thresholds(arms, arms[0], "mmlu", 0.5)
    with pytest.raises(EvaluationError, match="a finite score"):
        measure_thresholds(arms, arms[0], "hard", float("nan"))
