"""Learning rates are selected by the rule of the plan."""

from __future__ import annotations

import pytest

from rephrase_rl.studies.selection import Validated, further_rate, selected_rate
from study_fakes import tiny_study

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
