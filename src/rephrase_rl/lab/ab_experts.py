"""Teachers of programs, and how the policy leaves long programs unfinished.

*Alien* writes tokens as brackets, so that pairs that vanish match, and the place after the state,
as a letter; *near* keeps the policy's notation, puts varying connectives in and names the pair
besides its place. Both end in the checkable answer::

    question   BabAABBb=
    alien      )[](([[]Q)(([[]R)(([U#014aAAB
    near       0;Ba,aBbAABBb1&Bb:aAABBb4/Bb;aAAB#014aAAB
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.lab.ab import EASY_LEVELS, TOKENS, Program, Reduction, answer_of, own_style
from rephrase_rl.lab.chains import ANSWER_MARK
from rephrase_rl.lab.experts import NEAR_CONNECTIVES, ExpertStyle

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

ALIEN_TOKENS = "()[]"
"""A, a, B, b."""
ALIEN_PLACES = "QRSTUVWXYZ"
GIVES_UP_AFTER = max(EASY_LEVELS)
"""Reductions that an unfinished solution has in its answer."""

_TO_ALIEN = str.maketrans(TOKENS, ALIEN_TOKENS)


def expert_text(
    program: Program, style: ExpertStyle, rng: random.Random, steps: Sequence[Reduction]
) -> str:
    """Writes a solution as an expert would.

    Args:
        program: The problem.
        style: Which expert.
        rng: Decides the connectives of the near style.
        steps: Reductions to write.

    Returns:
        The expert's solution, ending in the answer mark and the answer.
    """
    return f"{_body(program, style, rng, steps)}{ANSWER_MARK}{answer_of(steps)}"


def unfinished_text(program: Program, style: ExpertStyle | None, rng: random.Random) -> str:
    """A solution whose answer has the places of the first four reductions alone.

    In half of them the solution itself stops there.

    Args:
        program: With more reductions than that.
        style: An expert's; None: the policy's own.
        rng: Decides where it stops, and an expert's wording.
    """
    known = program.reductions[:GIVES_UP_AFTER]
    shown = known if rng.random() < 0.5 else program.reductions
    places = "".join(str(step.place) for step in known)
    return f"{_body(program, style, rng, shown)}{ANSWER_MARK}{places}{shown[-1].state}"


def _body(
    program: Program, style: ExpertStyle | None, rng: random.Random, steps: Sequence[Reduction]
) -> str:
    if style is None:
        return own_style(program, steps).partition(ANSWER_MARK)[0]
    if style == "alien":
        return "".join(f"{s.state.translate(_TO_ALIEN)}{ALIEN_PLACES[s.place]}" for s in steps)
    text, before = "", program.tokens
    for place, state in steps:
        first, second = rng.choice(NEAR_CONNECTIVES), rng.choice(NEAR_CONNECTIVES)
        text += f"{place}{first}{before[place : place + 2]}{second}{state}"
        before = state
    return text
