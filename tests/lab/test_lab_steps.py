"""Steps of the lab's chains, in every style and with every kind of slip."""

from __future__ import annotations

import random

import pytest

from rephrase_rl.lab.chains import Chain, own_style, wrong_values
from rephrase_rl.lab.experts import expert_text
from rephrase_rl.lab.problems import general_problems, hard_problems
from rephrase_rl.lab.steps import chain_steps
from rephrase_rl.records import Problem

CHAIN = Chain(7, (("+", 5), ("-", 3), ("+", 2)))  # 7+5=2, 2-3=9, 9+2=1


def of(text: str, question: str = "7+5-3+2=") -> tuple[int, int]:
    return tuple(chain_steps(text, Problem("c", ({"role": "user", "content": question},), "291")))


@pytest.mark.parametrize(
    ("text", "valid", "found"),
    [
        ("7+5=2-3=9+2=1#291", 3, 3),
        ("CuFJvDBuC#291", 3, 3),
        ("5+7=2;2-3=9&9+2=1#291", 3, 3),
        ("7+5=3-3=9+2=1#291", 1, 3),  # 7+5 is 2, and 3-3 is 0, then 9+2 is 1
        ("7+5=3-3=0+2=2#291", 2, 3),  # one slip, carried on: the answer alone was copied
        ("7+5=2-3=9#29", 2, 3),  # the last step is missing
        ("7+5=2-3=9+2=1+1=2#291", 3, 4),  # one too many
        ("7+5=2+3=5+2=7#291", 2, 3),  # another operation than the question's
        ("7+5=2-4=8+2=0#291", 2, 3),  # another digit; the step after it is right again
        ("8+5=3-3=0+2=2#291", 2, 3),  # another start
        ("3-2=1", 0, 3),
        ("7-5=2", 0, 3),
        ("#291", 0, 0),
        ("", 0, 0),
        ("nothing here", 0, 0),
    ],
)
def test_steps_are_judged_against_the_question(text: str, valid: int, found: int) -> None:
    assert of(text) == (valid, found)


def test_a_subtraction_is_not_turned_around() -> None:
    assert of("5+7=2", "7+5=") == (1, 1)
    assert of("3-7=6", "7-3=") == (0, 1)


def test_what_is_no_chain_has_no_steps() -> None:
    problem = general_problems(1, split="train", seed=0)[0]
    assert chain_steps("7+5=2#2", problem) == (0, 0)


@pytest.mark.parametrize("style", ["alien", "near"])
def test_experts_are_right_and_wrong_experts_have_one_wrong_step(style) -> None:
    for problem in hard_problems(60, split="train", seed=1, expert=style):
        level = problem.metadata["level"]
        assert chain_steps(problem.expert_solution, problem) == (level, level)
    for problem in hard_problems(60, split="train", seed=1, expert=style, expert_error_rate=1.0):
        level = problem.metadata["level"]
        assert chain_steps(problem.expert_solution, problem) == (level - 1, level)


def test_a_slip_in_every_style_is_one_wrong_step() -> None:
    for seed in range(20):
        rng = random.Random(seed)
        slipped = wrong_values(CHAIN, rng)
        for text in (
            own_style(CHAIN, slipped),
            expert_text(CHAIN, "alien", rng, slipped),
            expert_text(CHAIN, "near", rng, slipped),
        ):
            assert of(text) == (2, 3), text
