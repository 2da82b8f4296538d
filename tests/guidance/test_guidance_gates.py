"""Gates one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakes import completion, problem
from guidance_fakes import NAN, group
from rephrase_rl.errors import BlockError
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.guidance.gates import (
    AlwaysGate,
    FailedShareGate,
    ProbabilityGate,
    ScheduleGate,
    SuccessRateGate,
    VisitsGate,
    opens,
)
from rephrase_rl.records import Rollout, RolloutGroup

CONTEXT = StepContext(0)
FAILED, PASSED = group(0.0, 0.0), group(1.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "open_"),
    [(True, True), (False, False), (np.True_, True), (torch.tensor(False), False), (1, True)],
)
def test_an_answer_is_yes_or_no(answer, open_) -> None:
    assert opens(lambda group, context: answer, FAILED, CONTEXT) is open_


@pytest.mark.parametrize("answer", [None, "no", 0.5, [], torch.tensor([True, False])])
def test_any_other_answer_is_refused_with_the_gates_name(answer) -> None:
    def forgetful(group, context):
        return answer

    with pytest.raises(BlockError, match=r"gate \(forgetful\) answered .* required: True or False"):
        opens(forgetful, FAILED, CONTEXT)


@pytest.mark.parametrize(
    ("rewards", "fraction", "expected"),
    [
        ((0.0, 0.0, 0.0, 0.0), 1.0, True),
        ((0.0, 0.0, 0.0, 1.0), 1.0, False),
        ((0.0, 0.0, 0.0, 1.0), 0.75, True),
        ((0.0, 0.0, 1.0, 1.0), 0.75, False),
        ((1.0, 1.0, 1.0, 1.0), 0.25, False),
        ((NAN, NAN, NAN, 0.0), 1.0, True),
        ((0.0, 0.0, 0.0, 0.0), 1.5, False),
    ],
)
def test_failed_share_gate(rewards, fraction, expected) -> None:
    assert FailedShareGate(fraction)(group(*rewards), CONTEXT) is expected


@pytest.mark.parametrize(
    ("rewards", "rate", "expected"),
    [
        ((0.0, 0.0, 0.0, 0.0), 0.0, True),
        ((0.0, 0.0, 0.0, 1.0), 0.0, False),
        ((0.0, 0.0, 0.0, 1.0), 0.25, True),
        ((0.0, 0.0, 1.0, 1.0), 0.25, False),
        ((0.0, 0.0, 0.0, 0.0), -0.1, False),
        ((1.0, 1.0, 1.0, 1.0), 1.0, True),
        ((NAN, NAN, NAN, NAN), 1.0, False),
        ((NAN, NAN, 0.0, 1.0), 0.5, True),
        # 1 - 5 / 6, divided in float32, is a little more than 1 / 6.
        ((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), 1 / 6, True),
    ],
)
def test_success_rate_gate(rewards, rate, expected) -> None:
    assert SuccessRateGate(rate)(group(*rewards), CONTEXT) is expected


@pytest.mark.parametrize("gate", [FailedShareGate(1.0, 0.4), SuccessRateGate(0.0, 0.4)])
def test_threshold_says_what_failing_is(gate) -> None:
    assert gate(group(0.3, 0.3), CONTEXT)
    assert not gate(group(0.4, 0.4), CONTEXT)


@pytest.mark.parametrize("gate", [FailedShareGate(), SuccessRateGate()])
def test_gate_judges_correctness_not_total_reward(gate) -> None:
    rollouts = tuple(Rollout(completion("r"), reward=0.9, correctness=0.0) for _ in range(2))
    assert gate(RolloutGroup(problem(), rollouts), CONTEXT)


def test_always_gate_is_open() -> None:
    assert AlwaysGate()(PASSED, CONTEXT)


def test_schedule_asks_the_inner_gate_between_two_steps_only() -> None:
    gate = ScheduleGate(FailedShareGate(), start_step=2, end_step=4)
    assert [gate(FAILED, StepContext(step)) for step in range(6)] == [
        *[False] * 2,
        *[True] * 2,
        *[False] * 2,
    ]
    assert not gate(PASSED, StepContext(3))
    assert ScheduleGate(AlwaysGate(), 1)(PASSED, StepContext(10**6))


def test_defaults_are_the_documented_ones() -> None:
    assert SuccessRateGate()(group(0.0, 0.0), CONTEXT)
    assert not SuccessRateGate()(group(0.0, 1.0), CONTEXT), "open where all failed, and there alone"
    assert ScheduleGate(AlwaysGate())(PASSED, StepContext(0)), "from the first step on"
    assert all(opened(ProbabilityGate(AlwaysGate()), 0, 50))
    once = StepContext(1, history=lambda problem_id: (0.0,))
    assert VisitsGate(AlwaysGate())(FAILED, once), "one failed visit is enough"
    assert not VisitsGate(AlwaysGate())(FAILED, StepContext(0)), "and none is not"


def opened(gate, step: int, count: int = 2000, seed: int = 0) -> list[bool]:
    groups = [group(0.0, 0.0, of=problem(problem_id=f"p{i}")) for i in range(count)]
    return [gate(g, StepContext(step, seed=seed)) for g in groups]


def test_probability_is_that_of_the_step() -> None:
    # Standard deviation of the share of 2,000 draws at 0.3: 0.0102.
    constant = ProbabilityGate(AlwaysGate(), 0.3)
    assert sum(opened(constant, 0)) / 2000 == pytest.approx(0.3, abs=0.045)
    falling = ProbabilityGate(AlwaysGate(), 1.0, 0.0, over_steps=10)
    assert all(opened(falling, 0, 50))
    assert sum(opened(falling, 5)) / 2000 == pytest.approx(0.5, abs=0.05)
    assert not any(opened(falling, 10, 50))
    assert not any(opened(falling, 99, 50))


def test_draws_repeat_and_differ_between_steps_seeds_and_problems() -> None:
    gate = ProbabilityGate(AlwaysGate(), 0.5)
    once = opened(gate, 3, 200)
    assert once == opened(gate, 3, 200)
    assert once != opened(gate, 4, 200)
    assert once != opened(gate, 3, 200, seed=1)
    assert len(set(once)) == 2


def test_probability_never_opens_what_the_inner_gate_closes() -> None:
    assert ProbabilityGate(FailedShareGate(), 1.0)(PASSED, CONTEXT) is False


@pytest.mark.parametrize(
    ("history", "opens"),
    [((), False), ((0.0,), False), ((0.0, 0.0), True), ((0.0, 0.0, 0.5), False),
     ((0.5, 0.0, 0.0), True), ((0.0, NAN), False)],
)  # fmt: skip
def test_visits_gate_looks_at_the_most_recent_visits(history, opens) -> None:
    context = StepContext(0, history=lambda problem_id: history if problem_id == "p0" else (0.0,))
    assert VisitsGate(FailedShareGate(), 2)(FAILED, context) is opens


def test_visits_gate_still_asks_the_inner_gate() -> None:
    context = StepContext(0, history=lambda problem_id: (0.0,))
    assert VisitsGate(FailedShareGate(), 1)(FAILED, context)
    assert not VisitsGate(FailedShareGate(), 1)(PASSED, context)
