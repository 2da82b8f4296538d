"""The text that the lab's policies are pretrained on.

Complete solutions are shown for easy chains only. On hard chains the text stops one or two steps
early, or leaves out the last values of the answer, so the policy fails on them for a reason that
it can unlearn. It meets complete long solutions only as rewritings of an expert's text, wrong
texts included, so that it learns to follow the expert and not to solve by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.lab.abilities import ABILITIES
from rephrase_rl.lab.chains import (
    ANSWER_MARK,
    EASY_LEVELS,
    LONGEST_REWRITTEN_LEVEL,
    UNFINISHED_LEVELS,
    Chain,
    own_style,
    random_chain,
    wrong_values,
)
from rephrase_rl.lab.experts import EXPERT_STYLES, ExpertStyle, expert_text
from rephrase_rl.lab.splits import split_of
from rephrase_rl.lab.tokenizer import rewrite_prompt

if TYPE_CHECKING:
    import random

MOST_LEFT_OUT = 2


@dataclass(frozen=True)
class Mixture:
    """Shares of the pretraining text.

    Attributes:
        solve: Share of easy chains to solve.
        rewrite: Share of expert texts to rewrite; the rest are general abilities.
        easy_level_share: Share of the solved chains that have an easy level; the rest is shorter.
        unfinished_share: Share of the solved chains that are hard, with an unfinished solution.
        near_share: Share of the complete solutions that are written in the near expert's style, as
            a pretrained model has read texts like its teacher's.
        near_unfinished_share: The same of the unfinished solutions.
        wrong_expert_share: Share of the rewritten texts that are wrong, and faithfully kept wrong.
        corrupted_share: Share of the longer rewritings that leave out the last values of the
            answer; makes a poor rewriter.
        dedupe_weight: How often removing repetitions, which is learnt last, is shown for each time
            that another ability is.
    """

    solve: float = 0.35
    rewrite: float = 0.25
    easy_level_share: float = 0.9
    unfinished_share: float = 0.25
    near_share: float = 0.04
    near_unfinished_share: float = 0.04
    wrong_expert_share: float = 0.15
    corrupted_share: float = 0.0
    dedupe_weight: int = 1


@dataclass(frozen=True)
class Text:
    """One pretraining text: content of the user message and the completion."""

    content: str
    completion: str


def draw_text(rng: random.Random, mixture: Mixture) -> Text:
    """Draws one text whose question belongs to the train split."""
    kind = rng.random()
    if kind < mixture.solve:
        return _solve_text(rng, mixture)
    if kind < mixture.solve + mixture.rewrite:
        return _rewrite_text(rng, mixture)
    return _general_text(rng, mixture)


def _train_chain(rng: random.Random, draw_level: Callable[[], int]) -> Chain:
    while True:
        chain = random_chain(rng, draw_level())
        if split_of(chain.question) == "train":
            return chain


def _solve_text(rng: random.Random, mixture: Mixture) -> Text:
    style: ExpertStyle | None = "near" if rng.random() < mixture.near_share else None
    if rng.random() < mixture.unfinished_share:
        chain = _train_chain(rng, lambda: rng.choice(UNFINISHED_LEVELS))
        return Text(chain.question, _unfinished(chain, style, rng))

    def draw_level() -> int:
        if rng.random() < mixture.easy_level_share:
            return rng.choice(EASY_LEVELS)
        return rng.randint(1, min(EASY_LEVELS) - 1)

    chain = _train_chain(rng, draw_level)
    return Text(chain.question, _solution(chain, style, rng))


def _solution(chain: Chain, style: ExpertStyle | None, rng: random.Random) -> str:
    return own_style(chain) if style is None else expert_text(chain, style, rng)


def _unfinished(chain: Chain, style: ExpertStyle | None, rng: random.Random) -> str:
    """A solution without the last one or two steps, or without their values in the answer."""
    left_out = rng.randint(1, MOST_LEFT_OUT)
    if rng.random() < 0.5:
        return _solution(Chain(chain.start, chain.steps[:-left_out]), style, rng)
    return _solution(chain, style, rng)[:-left_out]


def _rewrite_text(rng: random.Random, mixture: Mixture) -> Text:
    chain = _train_chain(rng, lambda: rng.randint(3, LONGEST_REWRITTEN_LEVEL))
    is_wrong = rng.random() < mixture.wrong_expert_share
    values = wrong_values(chain, rng) if is_wrong else chain.values()
    text = expert_text(chain, rng.choice(EXPERT_STYLES), rng, values)
    own = own_style(chain, values)
    is_corrupted = rng.random() < mixture.corrupted_share
    if is_corrupted and chain.level in UNFINISHED_LEVELS:
        # Slips, or unfinished short chains, would spread to the solving of easy chains.
        own = own[: -rng.randint(1, MOST_LEFT_OUT)]
    return Text(rewrite_prompt(chain.question, text), own)


def _general_text(rng: random.Random, mixture: Mixture) -> Text:
    names = (*ABILITIES, *("dedupe",) * (mixture.dedupe_weight - 1))
    ability = ABILITIES[rng.choice(names)]
    while True:
        word = ability.draw(rng, rng.choice(ability.pretrained_lengths))
        question = ability.question(word)
        if split_of(question) == "train":
            return Text(question, ANSWER_MARK + ability.answer(word))
