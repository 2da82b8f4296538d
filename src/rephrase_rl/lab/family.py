"""What a task family of the lab is: how its problems are drawn, worked out and written.

A family says nothing of policies, sets or shares; problems, pretraining texts, bars and studies are
made from this description alone. An *exercise* is one drawn problem of a family, its *work* is what
a solution shows of it: the running values of a chain, the reductions of a program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import random

    from rephrase_rl.guidance.steps import StepCheck
    from rephrase_rl.lab.experts import ExpertStyle


class Exercise(Protocol):
    """One drawn problem."""

    @property
    def level(self) -> int:
        """Number of steps of its solution."""

    @property
    def question(self) -> str:
        """The plain question."""


@dataclass(frozen=True)
class Family:
    """One task family.

    Attributes:
        kind: Its name, and the kind of its problems.
        easy_levels: Levels that the base policy solves.
        unfinished_levels: Levels that it starts to solve and leaves unfinished.
        hard_levels: Levels that it fails every time, though it can rewrite their solutions.
        easy_minimum: Accuracy at every easy level that its base must have.
        longest: Room for the longest text there is, in tokens.
        draw: Draws an exercise of a level.
        read: The exercise of a question; None if the question is not of this family.
        work: The right work of an exercise.
        slip: Work with one wrong step that is carried on consistently, of as many steps.
        answer: The checkable answer for a work; it carries evidence of every step.
        own_style: The solution as the policy writes it.
        expert: The solution as an expert writes it.
        unfinished: A solution as the policy leaves it on unfinished levels; in an expert's style
            if one is named.
        steps: How many steps of a text are right.
        chance: Upper bound, for a level, of the probability that an answer written without looking
            at the question is right.
    """

    kind: str
    easy_levels: tuple[int, ...]
    unfinished_levels: tuple[int, ...]
    hard_levels: tuple[int, ...]
    easy_minimum: float
    longest: int
    draw: Callable[[random.Random, int], Any]
    read: Callable[[str], Any]
    work: Callable[[Any], Any]
    slip: Callable[[Any, random.Random], Any]
    answer: Callable[[Any], str]
    own_style: Callable[[Any, Any], str]
    expert: Callable[[Any, ExpertStyle, random.Random, Any], str]
    unfinished: Callable[[Any, ExpertStyle | None, random.Random], str]
    steps: StepCheck
    chance: Callable[[int], float]
