"""The rule foretells when a likelihood that grows by the same factor reaches one in G."""

from __future__ import annotations

import math

import pytest

from rephrase_rl.studies.cells import Cell
from rephrase_rl.studies.ignition import (
    Ignition,
    foresight,
    foretell,
    ignition_step,
    level_of,
    observe,
    usual_error,
)
from rephrase_rl.studies.ignition_pages import ignition_table
from study_fakes import finished

CELL = Cell("repo", "hard", "alien", "good", 0, 2e-4)


def ignition(
    step: int | None, logps: tuple[float, ...] = (-16.0, -8.0, -4.0), level: float | None = None
) -> Ignition:
    return Ignition("x", {}, step, None, logps, level)


def test_a_straight_line_in_the_logarithm_is_followed_exactly() -> None:
    logps = [-30.0 * 0.8**step for step in range(5)]
    reached = math.log(math.log(8) / 30.0) / math.log(0.8)
    assert foretell(logps) == pytest.approx(reached)
    assert foretell([None, logps[1], None, logps[3], logps[4]]) == pytest.approx(reached)


def test_a_less_likely_text_is_reached_earlier() -> None:
    logps = [-30.0 * 0.8**step for step in range(5)]
    assert foretell(logps, 6.0) < foretell(logps) < foretell(logps, 1.0)


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
    assert found.level == 4.0
    assert foretell(found.text_logps) == pytest.approx(2.944, abs=1e-3)
    assert observe(finished(CELL)) is None


def test_errors_are_over_runs_with_both_and_false_alarms_are_told() -> None:
    never, slow = (-8.0, -8.0, -8.0), (-8.0, -7.99, -7.98)
    runs = [ignition(4), ignition(10, never), ignition(None), ignition(None, slow)]
    found = foresight(runs, level=2.0, last=40)  # 16 halves three times
    assert (found.runs, found.ignited, found.foretold, found.false_alarms) == (4, 2, 1, 1)
    assert found.error == pytest.approx(1.0)
    assert foresight([ignition(None, never)], level=2.0, last=40).error is None


def test_the_level_of_runs_is_their_median() -> None:
    assert level_of([ignition(3, level=4.0), ignition(2, level=5.0), ignition(None)]) == 4.5
    assert level_of([ignition(None)]) is None


def test_the_usual_step_is_that_of_other_runs() -> None:
    others = [ignition(4), ignition(8), ignition(None)]
    assert usual_error([ignition(3), ignition(11), ignition(None)], others) == 4.0
    assert usual_error([ignition(3)], [ignition(None)]) is None
    assert usual_error([ignition(None)], others) is None


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
        ["2.0e-04", "2", "1"], ["4.0e-04", "1", "1"],
    ]  # fmt: skip
    # Own success starts at step 3 (the mean of steps 3 to 5). At ln 8 it is foretold for 2.94; the
    # other row ignites at once, at a level of 16, which the text of this one has at the start.
    spread = (
        "| 3 (3 to 3) | 24 (24 to 24) | 0 | 4 (4 to 4) | 0.1 | 16.0 | 3.0 | 1 of 1 | 1 of 1 |  |"
    )
    assert lines[0].endswith(spread)


def test_a_row_is_compared_with_the_usual_step_of_other_conditions_at_its_rate() -> None:
    series = {"accepted": [8.0] * 9, "whole_text_logp": [-16.0, -8.0, -4.0]}
    own = {0: [0.0] * 7 + [0.5] * 3, 1: [0.0] * 3 + [0.5] * 7}
    rows = [
        finished(
            Cell("repo", protocol, "alien", "good", seed, 2e-4), own_hard=own[seed], series=series
        )
        for seed, protocol in enumerate(("hard", "mixed"))
    ]
    hard, mixed = ignition_table(rows, 40)[2:]
    # They ignite at steps 5 and 1, the first of them after what the rule may look at.
    assert hard.split(" | ")[6] == "1"
    assert mixed.split(" | ")[6] == "0"
    assert hard.endswith("| 4.0 |")
    assert mixed.endswith("| 4.0 |")
