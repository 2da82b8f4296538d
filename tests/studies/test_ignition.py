"""The rule foretells when a likelihood that grows by the same factor reaches one in G."""

from __future__ import annotations

import math

import pytest

from rephrase_rl.studies.cells import Cell
from rephrase_rl.studies.ignition import Ignition, foresight, foretell, ignition_step, observe
from rephrase_rl.studies.ignition_pages import ignition_table
from study_fakes import finished

CELL = Cell("repo", "hard", "alien", "good", 0, 2e-4)


def ignition(step: int | None, foretold: float | None) -> Ignition:
    return Ignition("x", {}, step, None, foretold)


def test_a_straight_line_in_the_logarithm_is_followed_exactly() -> None:
    logps = [-30.0 * 0.8**step for step in range(5)]
    reached = math.log(math.log(8) / 30.0) / math.log(0.8)
    assert foretell(logps) == pytest.approx(reached)
    assert foretell([None, logps[1], None, logps[3], logps[4]]) == pytest.approx(reached)


def test_a_larger_group_ignites_earlier() -> None:
    logps = [-30.0 * 0.8**step for step in range(5)]
    assert foretell(logps, group=64) < foretell(logps, group=8) < foretell(logps, group=2)


@pytest.mark.parametrize("logps", [[-8.0, -9.0, -10.0], [-8.0, -8.0, -8.0], [-8.0, None, -4.0], []])
def test_it_says_never_or_nothing_where_there_is_no_rise(logps) -> None:
    assert foretell(logps) is None


def test_a_policy_that_is_there_already_ignites_at_once() -> None:
    assert foretell([-1.0, -0.5, -0.25]) == 0.0


def test_one_lucky_batch_is_no_ignition() -> None:
    assert ignition_step([0.0, 0.3, 0.0, 0.0, 0.0, 0.1, 0.2, 0.2]) == 5


def test_a_run_is_read_from_its_summary() -> None:
    own = [0.0, 0.0, 0.0, 0.1, 0.2, 0.3]
    series = {"accepted": [8.0, 8.0, None, 4.0, 2.0, 0.0], "whole_text_logp": [-16.0, -8.0, -4.0]}
    found = observe(finished(CELL, own_hard=own, series=series))
    assert found is not None
    assert (found.step, found.rewrites) == (3, 16)
    assert found.foretold == pytest.approx(2.944, abs=1e-3)
    assert observe(finished(CELL)) is None


def test_errors_are_over_runs_with_both_and_false_alarms_are_told() -> None:
    runs = [ignition(4, 6.0), ignition(10, None), ignition(None, 5.0), ignition(None, 90.0)]
    found = foresight(runs, last=40)
    assert (found.runs, found.ignited, found.foretold, found.false_alarms) == (4, 2, 1, 1)
    # The other run that ignites does so at 10.
    assert (found.error, found.constant_error) == (2.0, 6.0)
    assert foresight([ignition(None, None)], last=40).error is None
    assert foresight([ignition(3, 3.5)], last=40).constant_error is None


def test_the_table_has_a_row_for_each_condition_and_rate_of_repo_alone() -> None:
    series = {"accepted": [8.0] * 5, "whole_text_logp": [-16.0, -8.0, -4.0, None, None]}
    cells = [
        Cell(arm, "hard", "alien", "good", seed, rate)
        for arm, seed, rate in (
            ("repo", 0, 2e-4),
            ("repo", 1, 2e-4),
            ("repo", 2, 4e-4),
            ("nll", 0, 2e-4),
        )
    ]
    own = {0: [0.0] * 5 + [0.5] * 2, 1: [0.0] * 7, 2: [0.5] * 7}
    rows = [finished(cell, own_hard=own[cell.seed], series=series) for cell in cells]
    head, _, *lines = ignition_table(rows, 40)
    assert head.startswith("| condition | rate | runs | ignite |")
    assert [line.split(" | ")[1:4] for line in lines] == [
        ["2.0e-04", "2", "1"], ["4.0e-04", "1", "1"], ["", "3", "2"],
    ]  # fmt: skip
    # Own success starts at step 3 (the mean of steps 3 to 5), foretold for 2.94.
    assert "| 3 (3 to 3) | 24 (24 to 24) | 1 of 1 | 1 of 1 | 0.1 |" in lines[0]
