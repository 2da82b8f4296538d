"""Problem sets of the lab: seeded, unique within a set, and of disjoint splits.

Free of torch, so that data can be made where no policy is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.errors import DataError
from rephrase_rl.lab.abilities import ABILITIES, TRAINED_ABILITIES
from rephrase_rl.lab.chains import ANSWER_MARK
from rephrase_rl.lab.families import CHAIN, FAMILIES
from rephrase_rl.lab.splits import Split, split_of
from rephrase_rl.records import Problem
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from rephrase_rl.lab.experts import ExpertStyle
    from rephrase_rl.lab.family import Family

TASK_KIND = "lab"

_DRAWS_PER_PROBLEM = 1000
"""Draws after which a set counts as larger than the stock of questions."""


def problem_kinds() -> tuple[str, ...]:
    """All kinds of problems: the names of the families, and those of the abilities."""
    return (*FAMILIES, *ABILITIES)


def make_problems(
    kind: str,
    *,
    level: int | None = None,
    count: int,
    split: Split,
    seed: int,
    expert: ExpertStyle = "alien",
    expert_error_rate: float = 0.0,
) -> list[Problem]:
    """Makes problems of one kind.

    Args:
        kind: Name of a family, or of a general ability.
        level: Steps of the solution, or letters of the word. None mixes the easy levels of the
            family, or all lengths of the ability.
        count: How many.
        split: Which split the questions belong to.
        seed: Same seed, same problems.
        expert: Style of the family's expert; general problems have no expert.
        expert_error_rate: Share of wrong experts: one step wrong, consistently carried on.

    Returns:
        Problems with questions that differ from each other.

    Raises:
        DataError: The kind is unknown, or has fewer questions of this level and split.
    """
    if kind not in problem_kinds():
        raise DataError(f"kind is {kind!r}; use one of {', '.join(problem_kinds())}")
    rng = random.Random(derive_seed(seed, "lab problems", kind, level or 0, split))
    if kind in FAMILIES:
        family = FAMILIES[kind]
        levels = family.easy_levels if level is None else (level,)
        wording = _Wording(expert, expert_error_rate, seed)
        return _collect(lambda: _family_problem(rng, family, levels, wording, split), count, split)
    lengths = ABILITIES[kind].lengths if level is None else (level,)
    return _collect(lambda: _general_problem(rng, kind, lengths, split), count, split)


def hard_problems(
    count: int,
    *,
    split: Split,
    seed: int,
    expert: ExpertStyle = "alien",
    expert_error_rate: float = 0.0,
    family: Family = CHAIN,
) -> list[Problem]:
    """Problems of a family's hard levels in equal parts, with expert solutions."""
    problems: list[Problem] = []
    parts = _parts(count, len(family.hard_levels))
    for level, part in zip(family.hard_levels, parts, strict=True):
        problems += make_problems(
            family.kind,
            level=level,
            count=part,
            split=split,
            seed=seed,
            expert=expert,
            expert_error_rate=expert_error_rate,
        )
    return _shuffled(problems, seed, "hard")


def easy_problems(
    count: int,
    *,
    split: Split,
    seed: int,
    levels: tuple[int, ...] = (),
    family: Family = CHAIN,
) -> list[Problem]:
    """Problems of easy levels in equal parts, without expert solutions; of all by default."""
    levels = levels or family.easy_levels
    problems: list[Problem] = []
    for level, part in zip(levels, _parts(count, len(levels)), strict=True):
        problems += make_problems(family.kind, level=level, count=part, split=split, seed=seed)
    return _shuffled([_without_expert(problem) for problem in problems], seed, "easy")


def general_problems(
    count: int, *, split: Split, seed: int, abilities: tuple[str, ...] = tuple(ABILITIES)
) -> list[Problem]:
    """Problems of general abilities in equal parts; of all abilities by default."""
    problems: list[Problem] = []
    for name, part in zip(abilities, _parts(count, len(abilities)), strict=True):
        problems += make_problems(name, count=part, split=split, seed=seed)
    return _shuffled(problems, seed, "general")


def mixed_training_problems(
    count: int,
    seed: int,
    *,
    expert: ExpertStyle = "alien",
    expert_error_rate: float = 0.0,
    hard_share: float = 0.5,
    easy_share: float = 0.25,
    easy_levels: tuple[int, ...] = (),
    family: Family = CHAIN,
) -> list[Problem]:
    """A training set: by default half hard, a quarter easy, a quarter general.

    Only hard problems have expert solutions. The held-out ability never occurs. Every window of
    the set has about these shares, so that batches taken in order are alike.

    Args:
        count: How many problems.
        seed: Same seed, same problems.
        expert: Style of the expert.
        expert_error_rate: Share of wrong experts.
        hard_share: Share of hard problems.
        easy_share: Share of easy problems; the rest is general.
        easy_levels: Levels of the easy problems; empty: all easy levels of the family.
        family: Of the hard and easy problems.

    Returns:
        Problems of the train split.
    """
    if not (hard_share >= 0 and easy_share >= 0 and hard_share + easy_share <= 1):
        raise DataError(
            f"hard_share is {hard_share}, easy_share {easy_share}; "
            "both must be at least 0 and their sum at most 1: "
            "lower one of them"
        )
    hard_count = round(count * hard_share)
    easy_count = round(count * easy_share)
    hard = hard_problems(
        hard_count,
        split="train",
        seed=seed,
        expert=expert,
        expert_error_rate=expert_error_rate,
        family=family,
    )
    easy = easy_problems(easy_count, split="train", seed=seed, levels=easy_levels, family=family)
    general = general_problems(
        count - hard_count - easy_count, split="train", seed=seed, abilities=TRAINED_ABILITIES
    )
    return _interleaved([hard, easy, general])


def chance_of(problem: Problem) -> float:
    """Highest probability that an answer written without looking at the question is right."""
    level = problem.metadata["level"]
    assert isinstance(level, int)  # noqa: S101  (narrows the type)
    kind = str(problem.metadata["kind"])
    return (FAMILIES[kind] if kind in FAMILIES else ABILITIES[kind]).chance(level)


@dataclass(frozen=True)
class _Wording:
    """How the expert of a set writes."""

    style: ExpertStyle
    error_rate: float
    seed: int


def _family_problem(
    rng: random.Random, family: Family, levels: tuple[int, ...], wording: _Wording, split: Split
) -> Problem:
    exercise = family.draw(rng, rng.choice(levels))
    question = exercise.question
    # A generator of its own per question: the questions of a set and the right experts' words do
    # not change with the error rate, so sets that differ in it can be compared problem by problem.
    word_rng = random.Random(derive_seed(wording.seed, "lab expert", wording.style, question))
    is_wrong = word_rng.random() < wording.error_rate
    right, slipped = family.work(exercise), family.slip(exercise, word_rng)
    text = family.expert(exercise, wording.style, word_rng, slipped if is_wrong else right)
    return Problem(
        problem_id=f"{family.kind}/{question}",
        messages=({"role": "user", "content": question},),
        reference_answer=family.answer(right),
        expert_solution=text,
        task_kind=TASK_KIND,
        metadata={
            "kind": family.kind,
            "level": exercise.level,
            "split": split,
            "expert": wording.style,
            "expert_is_right": not is_wrong,
        },
    )


def _general_problem(
    rng: random.Random, kind: str, lengths: tuple[int, ...], split: Split
) -> Problem:
    ability = ABILITIES[kind]
    word = ability.draw(rng, rng.choice(lengths))
    question = ability.question(word)
    return Problem(
        problem_id=f"{kind}/{question}",
        messages=({"role": "user", "content": question},),
        reference_answer=ability.answer(word),
        task_kind=TASK_KIND,
        metadata={"kind": kind, "level": len(word), "split": split},
    )


def _collect(draw: Callable[[], Problem], count: int, split: Split) -> list[Problem]:
    """Draws until ``count`` different questions of the split are there."""
    problems: dict[str, Problem] = {}
    for _ in range(_DRAWS_PER_PROBLEM * max(count, 1)):
        if len(problems) >= count:
            break
        problem = draw()
        if split_of(problem.question) == split:
            problems.setdefault(problem.problem_id, problem)
    if len(problems) < count:
        raise DataError(
            f"only {len(problems)} different questions found in split {split!r}, {count} "
            "requested; ask for fewer, or for a higher level"
        )
    return list(problems.values())


def _without_expert(problem: Problem) -> Problem:
    metadata = {key: problem.metadata[key] for key in ("kind", "level", "split")}
    return Problem(
        problem_id=problem.problem_id,
        messages=problem.messages,
        reference_answer=problem.reference_answer,
        task_kind=problem.task_kind,
        metadata=metadata,
    )


def _parts(count: int, parts: int) -> list[int]:
    return [count // parts + (index < count % parts) for index in range(parts)]


def _shuffled(problems: list[Problem], seed: int, purpose: str) -> list[Problem]:
    random.Random(derive_seed(seed, "lab order", purpose)).shuffle(problems)
    return problems


def _interleaved(sets: list[list[Problem]]) -> list[Problem]:
    """Merges sets so that every window has the shares of the whole."""
    placed = [
        ((index + 0.5) / len(problems), problem)
        for problems in sets
        for index, problem in enumerate(problems)
    ]
    return [problem for _, problem in sorted(placed, key=lambda pair: pair[0])]


def answer_in(completion: str) -> str | None:
    """The answer in a completion: what follows the last answer mark, stripped; None without it."""
    _, mark, answer = completion.rpartition(ANSWER_MARK)
    return answer.strip() if mark else None


def is_right(problem: Problem, completion: str) -> bool:
    """Whether a completion has exactly the reference answer."""
    return answer_in(completion) == problem.reference_answer
