"""The second domain of the lab: programs of the A::B challenge, reduced pair by pair.

A token is a letter with a face: ``A`` and ``B`` face right, ``a`` and ``b`` face left (``A#``,
``B#``, ``#A`` and ``#B`` of the challenge, which reasoning-gym has as ``ab``). Neighbours that face
each other vanish if they have the same letter and change places if not. The leftmost such pair is
reduced first, until there is none. A problem of level n has n reductions and n + 5 tokens. The
policy writes each one's place, counted from 0, and the state after it; then, after ``#``, all
places and the last state::

    question   BabAABBb=
    own style  0aBbAABBb1aAABBb4aAAB#014aAAB

The answer tells of every reduction, so it carries evidence of all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.errors import DataError
from rephrase_rl.lab.chains import ANSWER_MARK

if TYPE_CHECKING:
    import random

TOKENS = "AaBb"
EXTRA_TOKENS = 5
"""Tokens of a program beyond its level."""
EASY_LEVELS = (3, 4)
UNFINISHED_LEVELS = (5, 6)
HARD_LEVELS = (6,)
PROGRAMS = {1: 960, 2: 3840, 3: 14_240, 4: 51_328, 5: 181_888, 6: 641_152}
"""Programs of each level, out of 4 to the power of its tokens: rejected draws are the others."""

_FACING = re.compile("[AB][ab]")
_QUESTION = re.compile(f"([{TOKENS}]+)=")


class Reduction(NamedTuple):
    """One step as it is written: where the pair began, from 0, and the state after it."""

    place: int
    state: str


@dataclass(frozen=True)
class Program:
    """Tokens to be reduced."""

    tokens: str

    @property
    def level(self) -> int:
        """Number of reductions."""
        return len(self.reductions)

    @property
    def question(self) -> str:
        """The plain question."""
        return f"{self.tokens}="

    @cached_property
    def reductions(self) -> tuple[Reduction, ...]:
        """All of them, leftmost pair first."""
        return tuple(_reductions(self.tokens))


def reduced(state: str) -> Reduction | None:
    """The reduction of the leftmost pair of a state; None where no neighbours face each other.

    Example:
        >>> reduced("aBAb")
        Reduction(place=2, state='aBbA')
        >>> reduced("aBbA")
        Reduction(place=1, state='aA')
    """
    pair = _FACING.search(state)
    if pair is None:
        return None
    begin, end = pair.span()
    left, right = state[begin], state[begin + 1]
    result = "" if left.lower() == right else right + left
    return Reduction(begin, state[:begin] + result + state[end:])


def _reductions(state: str) -> list[Reduction]:
    steps: list[Reduction] = []
    # Ends: a reduction moves letters that face left to the left, or takes two away.
    while (step := reduced(steps[-1].state if steps else state)) is not None:
        steps.append(step)
    return steps


def random_program(rng: random.Random, level: int) -> Program:
    """Draws a program, all of its level being equally likely.

    Raises:
        DataError: There are no programs of this level.
    """
    if level not in PROGRAMS:
        raise DataError(f"level is {level}; use one from {min(PROGRAMS)} to {max(PROGRAMS)}")
    while True:
        program = Program("".join(rng.choices(TOKENS, k=level + EXTRA_TOKENS)))
        if program.level == level:
            return program


def read_program(question: str) -> Program | None:
    """The program of a question; None if it asks something else."""
    asked = _QUESTION.fullmatch(question)
    return None if asked is None else Program(asked[1])


def wrong_reductions(program: Program, rng: random.Random) -> tuple[Reduction, ...]:
    """Reductions with one token miscopied in one step, consistently carried on to as many steps.

    The answer is never the right one: the tokens of a letter that face right less those that face
    left are as many after a reduction as before it, and a slip changes this number.
    """
    order = rng.sample(range(program.level), program.level)
    # The last step, at the latest, can be slipped: another letter of the same face there.
    return rng.choice(next(found for at in order if (found := _slipped_at(program, at))))


def _slipped_at(program: Program, at: int) -> list[tuple[Reduction, ...]]:
    """All ways to miscopy one token in a step that lead to as many reductions."""
    before, (place, state) = program.reductions[:at], program.reductions[at]
    miscopied = [
        state[:index] + token + state[index + 1 :]
        for index in range(len(state))
        for token in TOKENS
        if token != state[index]
    ]
    rests = [(slip, _reductions(slip)) for slip in miscopied]
    left = program.level - at - 1
    return [(*before, Reduction(place, slip), *rest) for slip, rest in rests if len(rest) == left]


def answer_of(steps: Sequence[Reduction]) -> str:
    """The checkable answer: the places of all reductions, then the last state."""
    return "".join(str(step.place) for step in steps) + steps[-1].state


def own_style(_: Program, steps: Sequence[Reduction]) -> str:
    """The solution as the policy writes it."""
    return "".join(f"{place}{state}" for place, state in steps) + ANSWER_MARK + answer_of(steps)


def chance_level(level: int) -> float:
    """Upper bound of the probability that an answer written without the question is right.

    An answer with k of its n reductions vanishing pairs, which its length tells, is that of at most
    (n over k) 2^k programs: backwards each step is a swap or one of two pairs that vanished.
    """
    most = max(math.comb(level, k) * 2**k for k in range(level + 1))
    return most / PROGRAMS[level]
