"""Slots one by one."""

from __future__ import annotations

from collections import Counter

import pytest

from fakes import problem
from guidance_fakes import NAN, group
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.guidance.slots import (
    LastPlace,
    ReplaceRandomFailure,
    ReplaceWorst,
    SupervisedStream,
    WholeGroup,
)

CONTEXT = StepContext(0)


def test_slot_is_the_first_of_the_worst_scored() -> None:
    assert ReplaceWorst()(group(0.3, 0.1, NAN, 0.1), CONTEXT) == 1
    assert ReplaceWorst()(group(NAN, NAN), CONTEXT) is None


def test_random_failure_is_drawn_evenly_from_the_failures_and_repeats() -> None:
    slot = ReplaceRandomFailure()
    drawn = [
        slot(group(0.0, 1.0, 0.2, NAN, 0.0, of=problem(f"p{i}")), CONTEXT) for i in range(3000)
    ]
    counts = Counter(drawn)
    assert set(counts) == {0, 2, 4}
    # Standard deviation of each count: 25.8.
    assert all(abs(count - 1000) < 130 for count in counts.values())
    one = group(*[0.0] * 8)
    assert slot(one, StepContext(5, seed=3)) == slot(one, StepContext(5, seed=3))
    assert len({slot(one, StepContext(step)) for step in range(40)}) > 4
    assert len({slot(one, StepContext(0, seed=seed)) for seed in range(40)}) > 4


def test_random_failure_needs_a_failure() -> None:
    assert ReplaceRandomFailure()(group(1.0, NAN), CONTEXT) is None
    assert ReplaceRandomFailure()(group(0.5, 0.5), CONTEXT) is None, "the threshold is no failure"
    assert ReplaceRandomFailure(0.1)(group(0.2, 0.05), CONTEXT) == 1


@pytest.mark.parametrize("rewards", [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (NAN, NAN, NAN)])
def test_reserved_place_does_not_look_at_rewards(rewards) -> None:
    assert LastPlace()(group(*rewards), CONTEXT) == 2


def test_placements() -> None:
    placements = [
        slot.placement
        for slot in (ReplaceWorst(), ReplaceRandomFailure(), LastPlace(), WholeGroup())
    ]
    assert placements == ["member", "member", "member", "whole_group"]
    assert SupervisedStream().placement == "stream"


@pytest.mark.parametrize("slot", [WholeGroup(), SupervisedStream()])
def test_outside_and_whole_compare_with_the_worst(slot) -> None:
    assert slot(group(1.0, 0.0, 0.5), CONTEXT) == 1
    assert slot(group(NAN, NAN), CONTEXT) == 0
