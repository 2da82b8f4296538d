"""Whether the reductions of a program are right as they were written, in every style of the lab."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rephrase_rl.guidance.steps import StepValidity
from rephrase_rl.lab.ab import TOKENS, Reduction, read_program, reduced
from rephrase_rl.lab.ab_experts import ALIEN_PLACES, ALIEN_TOKENS
from rephrase_rl.lab.chains import ANSWER_MARK
from rephrase_rl.lab.experts import NEAR_CONNECTIVES

if TYPE_CHECKING:
    from rephrase_rl.records import Problem

_STEP = re.compile(
    rf"(?P<place>\d)(?:[{NEAR_CONNECTIVES}](?P<pair>[{TOKENS}]{{2}})[{NEAR_CONNECTIVES}])?"
    rf"(?P<state>[{TOKENS}]*)"
    rf"|(?P<alien>[{re.escape(ALIEN_TOKENS)}]*)(?P<letter>[{ALIEN_PLACES}])"
)
_FROM_ALIEN = str.maketrans(ALIEN_TOKENS, TOKENS)


def program_steps(text: str, problem: Problem) -> StepValidity:
    """Count the reductions of a program, and the right ones among them.

    One is right if it is that of the leftmost pair of the state written before it, so a slip that
    is carried on consistently is one wrong step. Steps that are missing or too many are wrong ones.
    Without any step, or for a problem that is no program, nothing is found.

    Args:
        text: What was written.
        problem: Of the lab.

    Example:
        >>> from rephrase_rl.records import Problem
        >>> problem = Problem("p", ({"role": "user", "content": "aABab="},), "1213aaABb")
        >>> program_steps("2aAaBb1aBb1a#211a", problem)
        StepValidity(valid=3, found=3)
        >>> program_steps("2aAaBb1aB#21aB", problem)
        StepValidity(valid=1, found=3)
    """
    program = read_program(problem.question)
    written = list(_STEP.finditer(text.partition(ANSWER_MARK)[0]))
    if program is None or not written:
        return StepValidity(0, 0)
    before, valid = program.tokens, 0
    for match in written[: program.level]:
        step = _reduction(match)
        is_named = match["pair"] in (None, before[step.place : step.place + 2])
        valid += is_named and step == reduced(before)
        before = step.state
    return StepValidity(valid, max(len(written), program.level))


def _reduction(match: re.Match[str]) -> Reduction:
    if match["letter"] is None:
        return Reduction(int(match["place"]), match["state"])
    state = match["alien"].translate(_FROM_ALIEN)
    return Reduction(ALIEN_PLACES.index(match["letter"]), state)
