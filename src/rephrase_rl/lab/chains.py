"""The domain of the lab: chains of additions and subtractions modulo 10.

A chain of level n has n steps, each with one digit. The policy writes the running expression and
then, after ``#``, every running value::

    question   7+5-3+2=
    own style  7+5=2-3=9+2=1#291

The answer repeats all running values, so it carries evidence of every step: an answer that only
guesses is right with probability 10 ** -level.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

ANSWER_MARK = "#"
MODULUS = 10
OPERATORS = ("+", "-")

EASY_LEVELS = (3, 4)
"""Levels that the base policy solves."""
UNFINISHED_LEVELS = (5, 6)
"""Levels that the base policy starts to solve and leaves unfinished."""
HARD_LEVELS = (6,)
"""Levels that the base policy fails every time, though it can rewrite their solutions. Level 5 is
not among them: now and then it is taken for level 4 and so solved, which plain GRPO would find."""
LONGEST_REWRITTEN_LEVEL = max(HARD_LEVELS)
"""Longest chain whose rewriting is pretrained."""

_QUESTION = re.compile(r"\d(?:[+-]\d)+=")


@dataclass(frozen=True)
class Chain:
    """A chain of single-digit operations.

    Attributes:
        start: First digit.
        steps: Operator and digit of each step.
    """

    start: int
    steps: tuple[tuple[str, int], ...]

    @property
    def level(self) -> int:
        """Number of steps."""
        return len(self.steps)

    @property
    def question(self) -> str:
        """The plain question."""
        return f"{self.start}" + "".join(f"{op}{digit}" for op, digit in self.steps) + "="

    def values(self) -> tuple[int, ...]:
        """Running value after each step."""
        values = []
        value = self.start
        for op, digit in self.steps:
            value = apply_step(value, op, digit)
            values.append(value)
        return tuple(values)


def apply_step(value: int, op: str, digit: int) -> int:
    """Applies one operation modulo 10."""
    return (value + digit if op == "+" else value - digit) % MODULUS


def random_chain(rng: random.Random, level: int) -> Chain:
    """Draws a chain; every running value is uniform whatever the ones before it are."""
    if level < 1:
        raise ValueError(f"level is {level}; a chain needs at least 1 step")
    steps = tuple((rng.choice(OPERATORS), rng.randrange(MODULUS)) for _ in range(level))
    return Chain(rng.randrange(MODULUS), steps)


def read_chain(question: str) -> Chain | None:
    """The chain of a question; None if it asks something else."""
    if _QUESTION.fullmatch(question) is None:
        return None
    digits, operators = question[0:-1:2], question[1:-1:2]
    steps = tuple((op, int(digit)) for op, digit in zip(operators, digits[1:], strict=True))
    return Chain(int(digits[0]), steps)


def wrong_values(chain: Chain, rng: random.Random) -> tuple[int, ...]:
    """Running values with a slip in one step that is carried on consistently."""
    slip_at = rng.randrange(chain.level)
    slip = rng.randrange(1, MODULUS)
    values = []
    value = chain.start
    for index, (op, digit) in enumerate(chain.steps):
        value = apply_step(value, op, digit)
        if index == slip_at:
            value = (value + slip) % MODULUS
        values.append(value)
    return tuple(values)


def answer_of(values: Sequence[int]) -> str:
    """The checkable answer: all running values."""
    return "".join(map(str, values))


def own_style(chain: Chain, values: Sequence[int] | None = None) -> str:
    """The solution as the policy writes it.

    Args:
        chain: The problem.
        values: Running values to write; the right ones by default.

    Returns:
        The running expression, the answer mark, and all running values.
    """
    shown = chain.values() if values is None else values
    steps = "".join(
        f"{op}{digit}={value}" for (op, digit), value in zip(chain.steps, shown, strict=True)
    )
    return f"{chain.start}{steps}{ANSWER_MARK}{answer_of(shown)}"


def chance_level(level: int) -> float:
    """Highest probability that an answer written without looking at the question is right."""
    return float(MODULUS) ** -level
