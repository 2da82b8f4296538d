"""Whether the steps of a chain are right as they were written: exact, in every style of the lab.

The verifier looks at the answer alone, so a rewrite that takes over the expert's answer and gets
its own steps wrong passes it; here it does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.guidance.steps import StepValidity
from rephrase_rl.lab.chains import ANSWER_MARK, apply_step
from rephrase_rl.lab.experts import ALIEN_DIGITS, ALIEN_OPERATORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rephrase_rl.records import Problem

_QUESTION = re.compile(r"(?P<start>\d)(?P<steps>(?:[+-]\d)+)=")
_OPERATION = re.compile(r"([+-])(\d)")
# Looks ahead, since the result of one step is the left side of the next: 7+5=2-3=9.
_OWN_STEP = re.compile(r"(?=(\d)([+-])(\d)=(\d))")
_SIGNS = "".join(ALIEN_OPERATORS.values())
_ALIEN_STEP = re.compile(f"([{ALIEN_DIGITS}])([{_SIGNS}])([{ALIEN_DIGITS}])")


class _Step(NamedTuple):
    """One step as it was written."""

    left: int | None
    """None in the alien style, which leaves it out."""
    op: str
    digit: int
    value: int


def chain_steps(text: str, problem: Problem) -> StepValidity:
    """Count the steps of a chain, and the right ones among them.

    A step is right if it applies the question's operation at its place to the value written before
    it: a slip that is carried on consistently is one wrong step. Steps that are missing or too many
    are wrong ones. Without any step, or for a problem that is no chain, nothing is found.

    Args:
        text: What was written.
        problem: Of the lab.

    Example:
        >>> from rephrase_rl.records import Problem
        >>> problem = Problem("c", ({"role": "user", "content": "7+5-3="},), "29")
        >>> chain_steps("7+5=2-3=8#29", problem)
        StepValidity(valid=1, found=2)
    """
    question = _QUESTION.fullmatch(problem.question)
    written = list(_written_steps(text.partition(ANSWER_MARK)[0]))
    if question is None or not written:
        return StepValidity(0, 0)
    asked = [(op, int(digit)) for op, digit in _OPERATION.findall(question["steps"])]
    before, valid = int(question["start"]), 0
    for step, (op, digit) in zip(written, asked, strict=False):
        valid += _is_right(step, before, op, digit)
        before = step.value
    return StepValidity(valid, max(len(written), len(asked)))


def _is_right(step: _Step, before: int, op: str, digit: int) -> bool:
    if step.op != op or step.value != apply_step(before, op, digit):
        return False
    if step.left is None:
        return step.digit == digit
    swapped = op == "+" and (step.left, step.digit) == (digit, before)
    return swapped or (step.left, step.digit) == (before, digit)


def _written_steps(text: str) -> Iterator[_Step]:
    found = [
        *((m.start(), _own(m)) for m in _OWN_STEP.finditer(text)),
        *((m.start(), _alien(m)) for m in _ALIEN_STEP.finditer(text)),
    ]
    return (step for _, step in sorted(found, key=lambda item: item[0]))


def _own(match: re.Match[str]) -> _Step:
    left, op, digit, value = match.groups()
    return _Step(int(left), op, int(digit), int(value))


def _alien(match: re.Match[str]) -> _Step:
    value, op, digit = match.groups()
    operators = {sign: op for op, sign in ALIEN_OPERATORS.items()}
    return _Step(None, operators[op], ALIEN_DIGITS.index(digit), ALIEN_DIGITS.index(value))
