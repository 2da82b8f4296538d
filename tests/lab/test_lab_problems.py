"""Problem sets of the lab: answers, experts, splits, seeds, chance."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from rephrase_rl.errors import DataError
from rephrase_rl.lab.abilities import ABILITIES, HELD_OUT_ABILITY, TRAINED_ABILITIES
from rephrase_rl.lab.chains import EASY_LEVELS, HARD_LEVELS, Chain, own_style, wrong_values
from rephrase_rl.lab.experts import ALIEN_DIGITS, EXPERT_STYLES, ExpertStyle
from rephrase_rl.lab.problems import (
    answer_in,
    chance_of,
    easy_problems,
    general_problems,
    hard_problems,
    is_right,
    make_problems,
    mixed_training_problems,
    problem_kinds,
)
from rephrase_rl.lab.splits import SPLITS

# Written from what the abilities are said to do; shares nothing with the package.
ORACLES = {
    "reverse": lambda w: "".join(reversed(w)),
    "shift": lambda w: "".join("a" if c == "z" else chr(ord(c) + 1) for c in w),
    "swap": lambda w: re.sub(r"(.)(.)", r"\2\1", w),
    "dedupe": lambda w: "".join(c for i, c in enumerate(w) if w.index(c) == i),
    "sort": lambda w: "".join(sorted(w)),
}


def running_values(question: str) -> list[int]:
    """Running values by evaluating every prefix as a plain sum of integers."""
    terms = [int(term) for term in re.findall(r"[+-]?\d", question)]
    return [sum(terms[: end + 1]) % 10 for end in range(1, len(terms))]


def running_answer(question: str) -> str:
    return "".join(map(str, running_values(question)))


@pytest.mark.parametrize("level", [1, 3, 4, 6, 7])
def test_chain_answers_are_right(level: int) -> None:
    for problem in make_problems("chain", level=level, count=15, split="test", seed=3):
        assert len(problem.question) == 2 * level + 2
        assert problem.reference_answer == running_answer(problem.question)


@pytest.mark.parametrize("kind", sorted(ABILITIES))
def test_general_answers_are_right(kind: str) -> None:
    for problem in make_problems(kind, count=200, split="check", seed=0):
        word = re.fullmatch(r"[a-z]+:([a-z]+)=", problem.question)
        assert word is not None
        assert problem.reference_answer == ORACLES[kind](word[1])
        assert problem.expert_solution is None


def test_every_ability_has_an_oracle() -> None:
    assert set(ORACLES) == set(ABILITIES)


def test_own_style_shows_every_step() -> None:
    chain = Chain(7, (("+", 5), ("-", 3), ("+", 2)))
    assert chain.question == "7+5-3+2="
    assert own_style(chain) == "7+5=2-3=9+2=1#291"


@pytest.mark.parametrize("style", EXPERT_STYLES)
def test_right_experts_pass_the_verifier_and_hold_every_value(style: ExpertStyle) -> None:
    for problem in hard_problems(200, split="train", seed=1, expert=style):
        assert problem.expert_solution is not None
        assert is_right(problem, problem.expert_solution)
        assert expert_values(problem.expert_solution, style) == running_values(problem.question)


def expert_values(text: str, style: ExpertStyle) -> list[int]:
    """The running values that the steps of an expert's text state, without its final answer."""
    steps = text.rpartition("#")[0]
    if style == "alien":
        return [ALIEN_DIGITS.index(step[0]) for step in re.findall("...", steps)]
    return [int(value) for value in re.findall(r"=(\d)", steps)]


@pytest.mark.parametrize("style", EXPERT_STYLES)
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_expert_error_rate(style: ExpertStyle, rate: float) -> None:
    count = 2000
    right = hard_problems(count, split="train", seed=5, expert=style)
    some_wrong = hard_problems(count, split="train", seed=5, expert=style, expert_error_rate=rate)
    wrong = 0
    for before, after in zip(right, some_wrong, strict=True):
        assert before.question == after.question
        assert after.expert_solution is not None
        is_wrong = not is_right(after, after.expert_solution)
        assert after.metadata["expert_is_right"] is not is_wrong
        wrong += is_wrong
        # The text's steps agree with the answer it ends in, right or wrong.
        stated = expert_values(after.expert_solution, style)
        assert "".join(map(str, stated)) == answer_in(after.expert_solution)
        if not is_wrong:
            assert after.expert_solution == before.expert_solution
    # Five standard deviations of a binomial share of 2,000 at 0.3 are 0.051.
    assert abs(wrong / count - rate) < 0.051


def test_a_slip_is_carried_on() -> None:
    chain = Chain(1, (("+", 1), ("+", 1), ("+", 1), ("+", 1)))
    slipped_at = set()
    for seed in range(50):
        values = wrong_values(chain, random.Random(seed))
        # The right values are 2, 3, 4, 5: the error is 0 up to the slip and constant after it.
        errors = [(value - right) % 10 for value, right in zip(values, (2, 3, 4, 5), strict=True)]
        first = next(index for index, error in enumerate(errors) if error)
        assert errors == [0] * first + [errors[-1]] * (4 - first)
        slipped_at.add(first)
    assert slipped_at == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", problem_kinds())
def test_splits_are_disjoint_and_questions_unique(kind: str) -> None:
    questions = {
        split: [p.question for p in make_problems(kind, count=1500, split=split, seed=0)]
        for split in SPLITS
    }
    for split in SPLITS:
        assert len(set(questions[split])) == 1500
    assert not set(questions["train"]) & set(questions["test"])
    assert not set(questions["train"]) & set(questions["check"])
    assert not set(questions["test"]) & set(questions["check"])


def test_same_seed_same_problems_other_seed_others() -> None:
    one = mixed_training_problems(64, 7)
    assert one == mixed_training_problems(64, 7)
    other = mixed_training_problems(64, 8)
    assert len({p.question for p in one} & {p.question for p in other}) < 10


def test_problems_are_the_same_in_another_process() -> None:
    code = (
        "from rephrase_rl.lab.problems import hard_problems; import sys;"
        "print([p.expert_solution for p in hard_problems(3, split='test', seed=11)]);"
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    here = [p.expert_solution for p in hard_problems(3, split="test", seed=11)]
    assert result.stdout.strip() == str(here)


def test_mixed_training_set_has_its_shares_everywhere() -> None:
    problems = mixed_training_problems(160, 0)
    assert len(problems) == len({p.problem_id for p in problems}) == 160
    for first in range(0, 160, 32):
        kinds = Counter(kind_of(p) for p in problems[first : first + 32])
        assert abs(kinds["hard"] - 16) <= 1
        assert abs(kinds["easy"] - 8) <= 1
    assert all((p.expert_solution is not None) == (kind_of(p) == "hard") for p in problems)
    general = Counter(p.metadata["kind"] for p in problems if p.metadata["kind"] != "chain")
    assert set(general) == set(TRAINED_ABILITIES)
    assert HELD_OUT_ABILITY not in general
    assert all(p.metadata["split"] == "train" for p in problems)


def kind_of(problem: object) -> str:
    metadata = problem.metadata  # type: ignore[attr-defined]
    if metadata["kind"] != "chain":
        return "general"
    return "hard" if metadata["level"] in HARD_LEVELS else "easy"


def test_levels_of_the_sets() -> None:
    assert not set(EASY_LEVELS) & set(HARD_LEVELS)
    hard = Counter(p.metadata["level"] for p in hard_problems(60, split="check", seed=0))
    assert set(hard) == set(HARD_LEVELS)
    easy = Counter(p.metadata["level"] for p in easy_problems(60, split="check", seed=0))
    assert easy == {level: 60 // len(EASY_LEVELS) for level in EASY_LEVELS}


def test_chance_is_at_most_a_thousandth() -> None:
    problems = [
        *easy_problems(300, split="train", seed=0),
        *hard_problems(300, split="train", seed=0),
        *general_problems(600, split="train", seed=0),
    ]
    assert max(chance_of(problem) for problem in problems) <= 0.001


@pytest.mark.parametrize("kind", ["chain", "dedupe", "sort"])
def test_chance_by_counting(kind: str) -> None:
    """The most frequent answer of many problems is about as frequent as the closed form says."""
    level = {"chain": 2, "dedupe": 4, "sort": 4}[kind]
    if kind == "chain":
        counts = Counter(
            running_answer(f"{a}{p}{b}{q}{c}=")
            for a in range(10)
            for b in range(10)
            for c in range(10)
            for p in "+-"
            for q in "+-"
        )
        total = sum(counts.values())
        assert max(counts.values()) / total == pytest.approx(0.01)
    else:
        rng = random.Random(0)
        ability = ABILITIES[kind]
        counts = Counter(ability.answer(ability.draw(rng, level)) for _ in range(60_000))
        # A Poisson count of mean 33 (sort) or 92 (dedupe) exceeds twice its mean with
        # probability under 1e-5 for each answer.
        assert max(counts.values()) / 60_000 < 2 * ability.chance(level)
        assert max(counts.values()) / 60_000 > ability.chance(level)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [("7+5=2#2", "2"), ("#1#22 ", "22"), ("7+5=2", None), ("", None), ("#", ""), ("#2x", "2x")],
)
def test_answer_in(completion: str, answer: str | None) -> None:
    assert answer_in(completion) == answer


def test_too_many_questions_is_an_error_that_says_so() -> None:
    # There are 200 questions of one step, about 20 of them in the test split.
    with pytest.raises(DataError, match="ask for fewer"):
        make_problems("chain", level=1, count=100, split="test", seed=0)


def test_unknown_kind_is_an_error() -> None:
    with pytest.raises(DataError, match="reverse"):
        make_problems("juggle", count=1, split="test", seed=0)
