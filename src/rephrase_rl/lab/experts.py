"""Teachers whose solutions are right but not in the policy's own style.

*Alien* writes digits and operators as letters and the result before the operation; *near* keeps
the policy's notation but restates the running value, turns additions around now and then and puts
a varying connective between steps. Both end in the checkable answer, as a teacher's text does, so
that one verifier judges everybody::

    question   7+5-3+2=
    alien      CuFJvDBuC#291
    near       5+7=2;2-3=9&9+2=1#291
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rephrase_rl.lab.chains import ANSWER_MARK, Chain, answer_of, own_style

if TYPE_CHECKING:
    import random

ExpertStyle = Literal["alien", "near"]
EXPERT_STYLES: tuple[ExpertStyle, ...] = ("alien", "near")

ALIEN_DIGITS = "ABCDEFGHIJ"
ALIEN_OPERATORS = {"+": "u", "-": "v"}
NEAR_CONNECTIVES = ";,.&!:~/"
NEAR_SWAP_SHARE = 0.5

MOST_LEFT_OUT = 2
"""Steps, or values of the answer, that an unfinished solution lacks at most."""


def expert_text(
    chain: Chain, style: ExpertStyle, rng: random.Random, values: Sequence[int] | None = None
) -> str:
    """Writes a solution as an expert would.

    Args:
        chain: The problem.
        style: Which expert.
        rng: Decides the wording where the style leaves a choice.
        values: Running values to write; the right ones by default.

    Returns:
        The expert's solution, ending in the answer mark and the answer.
    """
    shown = chain.values() if values is None else tuple(values)
    body = _alien(chain, shown) if style == "alien" else _near(chain, shown, rng)
    return f"{body}{ANSWER_MARK}{answer_of(shown)}"


def unfinished_text(chain: Chain, style: ExpertStyle | None, rng: random.Random) -> str:
    """A solution without the last one or two steps, or without their values in the answer.

    Args:
        chain: The problem.
        style: An expert's; None: the policy's own.
        rng: Decides what is left out, and an expert's wording.
    """
    left_out = rng.randint(1, MOST_LEFT_OUT)
    if rng.random() < 0.5:
        return _solution(Chain(chain.start, chain.steps[:-left_out]), style, rng)
    return _solution(chain, style, rng)[:-left_out]


def _solution(chain: Chain, style: ExpertStyle | None, rng: random.Random) -> str:
    return own_style(chain) if style is None else expert_text(chain, style, rng)


def _alien(chain: Chain, values: Sequence[int]) -> str:
    steps = (
        f"{ALIEN_DIGITS[value]}{ALIEN_OPERATORS[op]}{ALIEN_DIGITS[digit]}"
        for (op, digit), value in zip(chain.steps, values, strict=True)
    )
    return "".join(steps)


def _near(chain: Chain, values: Sequence[int], rng: random.Random) -> str:
    text = ""
    before = chain.start
    for (op, digit), value in zip(chain.steps, values, strict=True):
        swap = op == "+" and rng.random() < NEAR_SWAP_SHARE
        left, right = (digit, before) if swap else (before, digit)
        connective = rng.choice(NEAR_CONNECTIVES) if text else ""
        text += f"{connective}{left}{op}{right}={value}"
        before = value
    return text
