"""Learning rates are selected by the rule of the plan."""

from __future__ import annotations

import pytest

from rephrase_rl.errors import EvaluationError
from rephrase_rl.studies.cells import Cell
from rephrase_rl.studies.selection import Validated, further_rate, selected_rate, validated
from study_fakes import swept, tiny_study

SWEEP = tiny_study().sweep


def outcomes(*rows: tuple[float, float, float]) -> list[Validated]:
    return [Validated(*row) for row in rows]


def test_highest_hard_accuracy_within_the_loss_is_selected() -> None:
    runs = outcomes((1e-4, 0.3, 0.0), (2e-4, 0.5, 0.05), (4e-4, 0.9, 0.051))
    assert selected_rate(runs, 0.05) == 2e-4
    assert selected_rate(runs, None) == 4e-4


def test_ties_go_to_the_lowest_rate() -> None:
    assert selected_rate(outcomes((1e-4, 0.0, 0.0), (2e-4, 0.0, -0.01)), 0.05) == 1e-4


def test_nothing_is_selected_where_all_cost_too_much() -> None:
    assert selected_rate(outcomes((1e-4, 0.5, 0.3)), 0.05) is None


@pytest.mark.parametrize(
    ("rows", "further"),
    [
        ([(1e-4, 0.1, 0.0), (2e-4, 0.5, 0.0)], 4e-4),  # still rising at the upper edge
        ([(1e-4, 0.5, 0.0), (2e-4, 0.1, 0.0)], 5e-5),  # at the lower edge
        ([(1e-4, 0.5, 0.3), (2e-4, 0.6, 0.3)], 5e-5),  # every rate costs too much
        ([(1e-4, 0.0, 0.0), (2e-4, 0.0, 0.0)], None),  # nothing is learned at any rate
        # Only the run at the edge has to have learned something.
        ([(1e-4, 0.0, 0.0), (2e-4, 0.5, 0.0)], 4e-4),
        ([(1e-4, 0.5, 0.0), (2e-4, 0.0, 0.0)], 5e-5),
        ([(1e-4, 0.0, 0.0), (2e-4, 0.9, 0.3)], 4e-4),
        # The constrained choice is at the upper edge, but its run has learned nothing.
        ([(1e-4, 0.0, 0.3), (2e-4, 0.0, 0.0)], None),
        ([(5e-5, 0.2, 0.0), (1e-4, 0.5, 0.0), (2e-4, 0.4, 0.0)], None),  # inside
        # The constrained choice lies inside, the free one at the edge.
        ([(5e-5, 0.2, 0.0), (1e-4, 0.5, 0.0), (2e-4, 0.9, 0.3)], 4e-4),
    ],
)
def test_the_sweep_is_extended_where_a_choice_lies_at_an_edge(rows, further) -> None:
    assert further_rate(outcomes(*rows), SWEEP) == further


def test_the_sweep_is_extended_no_more_often_than_allowed() -> None:
    rates = [1e-4, 2e-4, 4e-4, 8e-4]
    rising = outcomes(*((rate, rate * 1e3, 0.0) for rate in rates))
    assert further_rate(rising, SWEEP) is None
    assert further_rate(rising[:3], SWEEP) == 8e-4
    falling = outcomes(*((rate, 1e-6 / rate, 0.0) for rate in (2.5e-5, 5e-5, 1e-4, 2e-4)))
    assert further_rate(falling, SWEEP) is None
    assert further_rate(falling[1:], SWEEP) == 2.5e-5


def test_a_run_is_judged_by_its_validation_before_and_after() -> None:
    summary = swept(Cell("repo", "mixed", "alien", "good", 60, 2e-4, sweep=True), 0.5, kept=0.9)
    assert validated(summary).hard == 0.5
    summary["curve"].insert(1, {"step": 20, "hard": 0.9, "easy": 0.0, "general": 0.0})
    found = validated(summary)
    assert (found.rate, found.hard) == (2e-4, 0.5)
    assert found.retention_loss == pytest.approx(0.1)
    for curve in (summary["curve"][:1], summary["curve"][1:]):
        with pytest.raises(EvaluationError, match="no validation before and after training"):
            validated({**summary, "curve": curve})
