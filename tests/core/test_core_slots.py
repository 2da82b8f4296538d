"""Which rollout gives way, and the replacement."""

import pytest
import torch

from rephrase_rl.core.slots import replace_at_slot, worst_slot
from rephrase_rl.errors import ShapeError

NAN = float("nan")


@pytest.mark.parametrize(
    ("rewards", "slot"),
    [
        ([0.2, 0.1, 0.3], 1),
        ([0.0, 0.0, 0.0], 0),  # ties: the first
        ([1.0, 0.0, 0.0], 1),
        ([NAN, 0.5, 0.7], 1),  # unscorable is not the worst
        ([NAN, NAN, 1.0], 2),
        ([NAN, NAN, NAN], -1),
        ([NAN, float("inf"), NAN], 1),  # inf is what the search fills with
        ([-1.0, float("-inf"), NAN], 1),
    ],
)
def test_worst_slot(rewards, slot):
    assert worst_slot(torch.tensor([rewards])).tolist() == [slot]


def test_worst_slot_can_index():
    assert worst_slot(torch.zeros(2, 3)).dtype == torch.int64


def test_replacement_touches_one_place_and_not_its_input():
    values_PG = torch.arange(6.0).reshape(2, 3)
    kept_PG = values_PG.clone()
    result_PG = replace_at_slot(values_PG, torch.tensor([2, -1]), torch.tensor([9.0, 9.0]))
    assert result_PG.tolist() == [[0.0, 1.0, 9.0], [3.0, 4.0, 5.0]]
    assert torch.equal(values_PG, kept_PG)


def test_replacement_of_whole_numbers_and_by_nan():
    rows_PG = torch.tensor([[0, 1], [2, 3]])
    assert replace_at_slot(rows_PG, torch.tensor([1, 0]), torch.tensor([7, 8])).tolist() == [
        [0, 7],
        [8, 3],
    ]
    # The replacement of a group without a slot is not read, NaN or not.
    result_PG = replace_at_slot(torch.zeros(1, 2), torch.tensor([-1]), torch.tensor([NAN]))
    assert result_PG.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("slot_P", "replacement_P", "name"),
    [
        (torch.tensor([2]), torch.tensor([1.0]), "slot_P"),
        (torch.tensor([-2]), torch.tensor([1.0]), "slot_P"),
        (torch.tensor([0.0]), torch.tensor([1.0]), "slot_P"),
        (torch.tensor([True]), torch.tensor([1.0]), "slot_P"),
        (torch.tensor([0, 0]), torch.tensor([1.0]), "slot_P"),
        (torch.tensor([0]), torch.tensor([1.0, 1.0]), "replacement_P"),
        (torch.tensor([0]), torch.tensor([1]), "replacement_P"),
    ],
)
def test_bad_slots_and_replacements_are_refused(slot_P, replacement_P, name):
    with pytest.raises(ShapeError, match=name):
        replace_at_slot(torch.zeros(1, 2), slot_P, replacement_P)


def test_one_bad_slot_among_good_ones_is_refused():
    # It would be ignored in silence, and its candidate lost.
    for bad in (2, -2):
        with pytest.raises(ShapeError, match="slot_P"):
            replace_at_slot(torch.zeros(3, 2), torch.tensor([0, bad, -1]), torch.ones(3))


def test_values_are_those_of_groups():
    with pytest.raises(ShapeError, match="values_PG"):
        replace_at_slot(torch.zeros(2), torch.tensor([0, 0]), torch.ones(2))


def test_rewards_have_to_be_floating():
    with pytest.raises(ShapeError, match="rewards_PG"):
        worst_slot(torch.zeros(1, 2).long())
