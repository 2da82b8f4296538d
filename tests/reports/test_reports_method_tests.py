"""Arms against a baseline: which test is made of what, and what is left out is said."""

from __future__ import annotations

import pytest
from arm_runs import arm_run, write_scores
from scipy import stats

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports.arms import group_into_arms, read_runs
from rephrase_rl.reports.method_tests import compare_arms
from rephrase_rl.statistics import compare_methods

ONES, HALVES, MIXED = [1.0] * 6, [0.5] * 6, [1.0, 0.0, 0.5, 0.0, 1.0, 0.5]


def outcomes(*runs, benchmarks=("hard",), fault=""):
    arms = group_into_arms(read_runs([run.path for run in runs]))
    return compare_arms(arms, arms[0], dict.fromkeys(benchmarks, fault))


def test_two_seeds_each_compare_methods(tmp_path):
    runs = [
        arm_run(tmp_path / "g1", "grpo", 1, hard=MIXED),
        arm_run(tmp_path / "g2", "grpo", 2, hard=MIXED[::-1]),
        arm_run(tmp_path / "r1", "repo", 1, hard=ONES),
        arm_run(tmp_path / "r2", "repo", 2, hard=HALVES),
    ]
    (found,) = outcomes(*runs)
    expected = compare_methods([ONES, HALVES], [MIXED, MIXED[::-1]])
    assert (found.arm, found.baseline, found.subject, found.test) == (
        "repo",
        "grpo",
        "methods",
        "t",
    )
    assert (found.difference, found.p_value) == (expected.difference, expected.p_value)
    assert (found.num_seeds, found.num_problems, found.left_out) == ((2, 2), 6, 0)
    assert found.bootstrap_p_value is None
    assert "too few for a bootstrap" in found.note
    assert found.p_holm == found.p_value


def test_one_seed_compares_checkpoints_of_the_same_seed_and_says_so(tmp_path):
    runs = [
        arm_run(tmp_path / "g1", "grpo", 1, hard=[0.0] * 6),
        arm_run(tmp_path / "g2", "grpo", 2, hard=[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        arm_run(tmp_path / "r2", "repo", 2, hard=ONES),
    ]
    (found,) = outcomes(*runs)
    assert (found.subject, found.test, found.runs) == ("checkpoints", "mcnemar", ("r2", "g2"))
    # Five of the six differ, all one way: 2 / 2**5.
    assert found.p_value == pytest.approx(2 / 2**5)
    assert "not about the methods" in found.note


def test_several_samples_use_sign_flips(tmp_path):
    runs = [
        arm_run(tmp_path / "g", "grpo", 1, hard=MIXED),
        arm_run(tmp_path / "r", "repo", 1, hard=ONES),
    ]
    (found,) = outcomes(*runs)
    assert found.test == "sign_flip"
    # Four problems differ, all one way: the pattern and its mirror image of 2**4.
    assert found.p_value == pytest.approx(2 / 2**4)
    expected = stats.ttest_rel(ONES, MIXED).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_holms_correction_is_over_all_benchmarks_and_arms(tmp_path):
    runs = [
        arm_run(tmp_path / "g", "grpo", 1, hard=[0.0] * 8, general=[1.0] * 8),
        arm_run(tmp_path / "r", "repo", 1, hard=[1.0] * 8, general=[1.0] * 8),
    ]
    hard, general = outcomes(*runs, benchmarks=("hard", "general"))
    assert hard.p_value == pytest.approx(2 / 2**8)
    assert hard.p_holm == pytest.approx(2 * hard.p_value)
    assert (general.p_value, general.p_holm) == (1.0, 1.0)


def test_unlike_protocols_and_missing_evaluations_have_no_test(tmp_path):
    runs = [arm_run(tmp_path / "g", "grpo", 1), arm_run(tmp_path / "r", "repo", 1)]
    (found,) = outcomes(*runs, fault="not the same protocol: k")
    assert (found.p_value, found.note) == (None, "not the same protocol: k")
    write_scores(runs[1], 4, "extra", [1.0], 1)
    (found,) = outcomes(*runs, benchmarks=("extra",))
    assert (found.p_value, found.test, found.note) == (None, "", "not evaluated: grpo")


def test_problems_that_not_all_runs_have_are_left_out_and_counted(tmp_path):
    runs = [
        arm_run(tmp_path / "g", "grpo", 1, hard=MIXED),
        arm_run(tmp_path / "r", "repo", 1, hard=[*ONES, 1.0, 1.0]),
    ]
    (found,) = outcomes(*runs)
    assert (found.num_problems, found.left_out) == (6, 2)


def test_without_samples_problems_cannot_be_paired(tmp_path):
    runs = [arm_run(tmp_path / "g", "grpo", 1), arm_run(tmp_path / "r", "repo", 1)]
    (runs[1].path / "evals" / "4" / "hard" / "samples.jsonl").write_text("")
    (found,) = outcomes(*runs)
    assert (found.p_value, "no samples were kept" in found.note) == (None, True)


@pytest.mark.parametrize("line", ['{"problem_id": 3}', '{"problem_id": "a", "value": "1"}', "[]"])
def test_damaged_samples_are_told(tmp_path, line):
    runs = [arm_run(tmp_path / "g", "grpo", 1), arm_run(tmp_path / "r", "repo", 1)]
    (runs[1].path / "evals" / "4" / "hard" / "samples.jsonl").write_text(line + "\n")
    with pytest.raises(CheckpointError, match=r"samples\.jsonl"):
        outcomes(*runs)
