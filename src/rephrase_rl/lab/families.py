"""The task families of the lab by name, and whose a question is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import DataError
from rephrase_rl.guidance.steps import StepValidity
from rephrase_rl.lab import ab, ab_experts, ab_steps, chains, experts, steps
from rephrase_rl.lab.family import Family

if TYPE_CHECKING:
    from rephrase_rl.records import Problem

CHAIN = Family(
    kind="chain",
    easy_levels=chains.EASY_LEVELS,
    unfinished_levels=chains.UNFINISHED_LEVELS,
    hard_levels=chains.HARD_LEVELS,
    easy_minimum=0.99,
    longest=8 * max(chains.HARD_LEVELS),  # near: 7 a step, the answer's digit, the ends
    draw=chains.random_chain,
    read=chains.read_chain,
    work=chains.Chain.values,
    slip=chains.wrong_values,
    answer=chains.answer_of,
    own_style=chains.own_style,
    expert=experts.expert_text,
    unfinished=experts.unfinished_text,
    steps=steps.chain_steps,
    chance=chains.chance_level,
)
AB = Family(
    kind="ab",
    easy_levels=ab.EASY_LEVELS,
    unfinished_levels=ab.UNFINISHED_LEVELS,
    hard_levels=ab.HARD_LEVELS,
    easy_minimum=0.98,
    # Near: place, two connectives, a pair, the state; in the answer places and a state; the ends.
    longest=max(ab.PROGRAMS) * (6 + max(ab.PROGRAMS) + ab.EXTRA_TOKENS) + 13,
    draw=ab.random_program,
    read=ab.read_program,
    work=lambda program: program.reductions,
    slip=ab.wrong_reductions,
    answer=ab.answer_of,
    own_style=ab.own_style,
    expert=ab_experts.expert_text,
    unfinished=ab_experts.unfinished_text,
    steps=ab_steps.program_steps,
    chance=ab.chance_level,
)
FAMILIES: dict[str, Family] = {family.kind: family for family in (CHAIN, AB)}
"""All of them by name."""


def family_named(name: str) -> Family:
    """A family by its name.

    Raises:
        DataError: There is none of this name.
    """
    if name not in FAMILIES:
        raise DataError(f"family is {name!r}; use one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def exercise_of(question: str) -> tuple[Family, Any] | None:
    """The family of a question and its exercise; None for a general ability or anything else."""
    for family in FAMILIES.values():
        exercise = family.read(question)
        if exercise is not None:
            return family, exercise
    return None


def own_solution(problem: Problem) -> str:
    """The right solution of a family's problem in the policy's own style.

    Raises:
        DataError: The problem is of no family.
    """
    found = exercise_of(problem.question)
    if found is None:
        raise DataError(
            f"{problem.question!r} is of no task family of the lab; required: a question of "
            f"{' or '.join(FAMILIES)}"
        )
    family, exercise = found
    return family.own_style(exercise, family.work(exercise))


def is_hard(kind: object, question: str) -> bool:
    """Whether the base policy of a family fails on a problem, by its kind and plain question."""
    found = exercise_of(question)
    return found is not None and kind == found[0].kind and found[1].level in found[0].hard_levels


def lab_steps(text: str, problem: Problem) -> StepValidity:
    """Count the steps of a solution and the right ones among them, whatever family it is of.

    Args:
        text: What was written.
        problem: Of the lab; without a family nothing is found.
    """
    found = exercise_of(problem.question)
    return StepValidity(0, 0) if found is None else found[0].steps(text, problem)
