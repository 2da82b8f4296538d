"""The second family: programs of tokens with a face, reduced pair by pair."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter

import pytest

from rephrase_rl.errors import DataError
from rephrase_rl.lab.ab import PROGRAMS, Program, chance_level, random_program, wrong_reductions
from rephrase_rl.lab.ab_experts import expert_text, unfinished_text
from rephrase_rl.lab.ab_steps import program_steps
from rephrase_rl.lab.experts import EXPERT_STYLES, ExpertStyle
from rephrase_rl.lab.families import AB, is_hard, own_solution
from rephrase_rl.lab.problems import chance_of, hard_problems, is_right, make_problems
from rephrase_rl.records import Problem

PROGRAM = Program("BabAABBb")  # Ba -> aB, then Bb and Bb vanish


def traced(tokens: str) -> list[tuple[int, str]]:
    """Places and states with tokens written as in the challenge, rule by rule."""
    rules = {"A##A": [], "B##B": [], "A##B": ["#B", "A#"], "B##A": ["#A", "B#"]}
    row = [f"{token}#" if token.isupper() else f"#{token.upper()}" for token in tokens]
    trace = []
    while True:
        found = [i for i in range(len(row) - 1) if row[i] + row[i + 1] in rules]
        if not found:
            return trace
        place = found[0]
        row[place : place + 2] = rules[row[place] + row[place + 1]]
        letters = [t[0] if t.endswith("#") else t[1].lower() for t in row]
        trace.append((place, "".join(letters)))


def of(text: str, question: str = "BabAABBb=") -> tuple[int, int]:
    asked = ({"role": "user", "content": question},)
    return tuple(program_steps(text, Problem("p", asked, "014aAAB")))


@pytest.mark.parametrize("level", sorted(PROGRAMS))
def test_answers_and_solutions_are_right(level: int) -> None:
    for problem in make_problems("ab", level=level, count=20, split="check", seed=3):
        trace = traced(problem.question.removesuffix("="))
        assert len(trace) == level
        places = "".join(str(place) for place, _ in trace)
        assert problem.reference_answer == places + trace[-1][1]
        solution = "".join(f"{place}{state}" for place, state in trace)
        assert own_solution(problem) == f"{solution}#{problem.reference_answer}"


def test_every_style_by_hand() -> None:
    steps = PROGRAM.reductions
    assert AB.own_style(PROGRAM, steps) == "0aBbAABBb1aAABBb4aAAB#014aAAB"
    rng = random.Random(0)
    assert expert_text(PROGRAM, "alien", rng, steps) == ")[](([[]Q)(([[]R)(([U#014aAAB"
    near = re.escape("0_Ba_aBbAABBb1_Bb_aAABBb4_Bb_aAAB#014aAAB").replace("_", "[;,.&!:~/]")
    texts = {expert_text(PROGRAM, "near", random.Random(seed), steps) for seed in range(20)}
    assert len(texts) == 20
    assert all(re.fullmatch(near, text) for text in texts)


@pytest.mark.parametrize("style", EXPERT_STYLES)
def test_experts_are_right_and_wrong_ones_have_one_wrong_step(style: ExpertStyle) -> None:
    wording = {"split": "train", "seed": 1, "expert": style, "family": AB}
    for problem in hard_problems(60, **wording):
        assert is_right(problem, problem.expert_solution)
        assert program_steps(problem.expert_solution, problem) == (6, 6)
    for problem in hard_problems(60, **wording, expert_error_rate=1.0):
        assert not is_right(problem, problem.expert_solution)
        assert program_steps(problem.expert_solution, problem) == (5, 6)


def test_a_slip_may_be_in_any_step() -> None:
    program = random_program(random.Random(5), 4)
    first_wrong = set()
    for seed in range(60):
        slipped = wrong_reductions(program, random.Random(seed))
        assert of(AB.own_style(program, slipped), program.question) == (3, 4)
        pairs = zip(slipped, program.reductions, strict=True)
        first_wrong.add(next(i for i, (wrong, right) in enumerate(pairs) if wrong != right))
    assert first_wrong == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("text", "valid", "found"),
    [
        ("0aBbAABBb1aAABBb4aAAB#014aAAB", 3, 3),
        (")[](([[]Q)(([[]R)(([U#014aAAB", 3, 3),
        ("0;Ba,aBbAABBb1&Bb:aAABBb4/Bb;aAAB#014aAAB", 3, 3),
        ("0;Ba,aBbAABBb1&Ab:aAABBb4/Bb;aAAB#014aAAB", 2, 3),  # names another pair
        ("0aBbAABBb1aAABBb#01aAABBb", 2, 3),  # the last step is missing
        ("0aBbAABBb1aAABBb4aAAB0aAA#014aAAB", 3, 4),  # one too many
        ("6BabAAB0aBbAAB1aAAB#014aAAB", 2, 3),  # another pair than the leftmost first
        ("1aBbAABBb1aAABBb4aAAB#014aAAB", 2, 3),  # another place
        ("0bAABBb1AABBb#014aAAB", 0, 3),
        ("#014aAAB", 0, 0),
        ("", 0, 0),
        ("nothing here", 0, 0),
    ],
)
def test_steps_are_judged_against_the_question(text: str, valid: int, found: int) -> None:
    assert of(text) == (valid, found)


def test_what_is_no_program_has_no_steps_and_no_own_solution() -> None:
    assert of("0aBbAABBb", "7+5=") == (0, 0)
    with pytest.raises(DataError, match="no task family"):
        own_solution(Problem("r", ({"role": "user", "content": "rev:abc="},), "cba"))


def test_which_problems_are_hard() -> None:
    hard = hard_problems(3, split="test", seed=0, family=AB)
    assert all(is_hard("ab", problem.question) for problem in hard)
    assert not is_hard("ab", "BabAABBb=")
    assert not is_hard("rewriting", hard[0].question)
    assert not is_hard("ab", "6+0-9+8+8-5-0=")


def test_how_many_programs_there_are_of_each_level() -> None:
    """By what is left: a token that faces left passes others until one of its letter stops it."""
    for level, stored in PROGRAMS.items():
        rows = Counter({("", 0): 1})
        for _ in range(level + 5):
            grown: Counter[tuple[str, int]] = Counter()
            for (waiting, steps), count in rows.items():
                for letter in "AB":
                    grown[waiting + letter, steps] += count
                    met = waiting.rfind(letter)
                    rest = waiting if met < 0 else waiting[:met] + waiting[met + 1 :]
                    passed = len(waiting) if met < 0 else len(waiting) - met
                    grown[rest, steps + passed] += count
            rows = grown
        assert sum(count for (_, steps), count in rows.items() if steps == level) == stored


@pytest.mark.parametrize("level", [1, 2])
def test_the_bound_on_chance_holds(level: int) -> None:
    answers: Counter[str] = Counter()
    for tokens in itertools.product("AaBb", repeat=level + 5):
        program = Program("".join(tokens))
        if program.level == level:
            answers[AB.answer(program.reductions)] += 1
    most = max(answers.values()) / answers.total()
    assert most <= chance_level(level) <= 2 * most


def test_chance_is_at_most_a_thousandth() -> None:
    levels = (*AB.easy_levels, *AB.hard_levels)
    problems = [make_problems("ab", level=n, count=1, split="test", seed=0)[0] for n in levels]
    assert max(map(chance_of, problems)) < 0.001


def test_unfinished_solutions_name_four_places() -> None:
    ends = Counter()
    for seed in range(100):
        rng = random.Random(seed)
        program = random_program(rng, rng.choice(AB.unfinished_levels))
        text = unfinished_text(program, rng.choice([None, "near"]), rng)
        places = re.match(r"\d*", text.partition("#")[2])
        assert places is not None
        assert places[0] == AB.answer(program.reductions)[:4]
        ends[program_steps(text, Problem("p", ({"content": program.question},), "")).valid] += 1
    assert set(ends) == {4, 5, 6}
    assert ends[4] > 30  # of 100, half


def test_a_level_without_programs_is_an_error() -> None:
    with pytest.raises(DataError, match="use one from 1 to 6"):
        make_problems("ab", level=7, count=1, split="test", seed=0)
