"""The text that the lab's policies are pretrained on.

Complete solutions are shown for easy problems only. On hard ones the text stops early, or leaves
out a part of the answer, so the policy fails on them for a reason that it can unlearn. It meets
complete long solutions only as rewritings of an expert's text, wrong texts included, so that it
learns to follow the expert and not to solve by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rephrase_rl.lab.abilities import ABILITIES
from rephrase_rl.lab.chains import ANSWER_MARK
from rephrase_rl.lab.experts import EXPERT_STYLES, MOST_LEFT_OUT, ExpertStyle
from rephrase_rl.lab.families import CHAIN
from rephrase_rl.lab.splits import split_of
from rephrase_rl.lab.tokenizer import rewrite_prompt

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from rephrase_rl.lab.family import Family


@dataclass(frozen=True)
class Mixture:
    """Shares of the pretraining text.

    Attributes:
        solve: Share of problems of the family to solve.
        rewrite: Share of expert texts to rewrite; the rest are general abilities.
        easy_level_share: Share of the complete solutions that have an easy level; the rest is
            shorter.
        unfinished_share: Share of the solutions that are of hard problems, and unfinished.
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


def draw_text(rng: random.Random, mixture: Mixture, family: Family = CHAIN) -> Text:
    """Draws one text of a family or a general ability; its question is of the train split."""
    kind = rng.random()
    if kind < mixture.solve:
        return _solve_text(rng, mixture, family)
    if kind < mixture.solve + mixture.rewrite:
        return _rewrite_text(rng, mixture, family)
    return _general_text(rng, mixture)


def _train_exercise(rng: random.Random, family: Family, draw_level: Callable[[], int]) -> Any:
    while True:
        exercise = family.draw(rng, draw_level())
        if split_of(exercise.question) == "train":
            return exercise


def _solve_text(rng: random.Random, mixture: Mixture, family: Family) -> Text:
    style: ExpertStyle | None = "near" if rng.random() < mixture.near_share else None
    if rng.random() < mixture.unfinished_share:
        exercise = _train_exercise(rng, family, lambda: rng.choice(family.unfinished_levels))
        return Text(exercise.question, family.unfinished(exercise, style, rng))

    def draw_level() -> int:
        if rng.random() < mixture.easy_level_share:
            return rng.choice(family.easy_levels)
        return rng.randint(1, min(family.easy_levels) - 1)

    exercise = _train_exercise(rng, family, draw_level)
    work = family.work(exercise)
    if style is None:
        return Text(exercise.question, family.own_style(exercise, work))
    return Text(exercise.question, family.expert(exercise, style, rng, work))


def _rewrite_text(rng: random.Random, mixture: Mixture, family: Family) -> Text:
    levels = (min(family.easy_levels), max(family.hard_levels))
    exercise = _train_exercise(rng, family, lambda: rng.randint(*levels))
    is_wrong = rng.random() < mixture.wrong_expert_share
    work = family.slip(exercise, rng) if is_wrong else family.work(exercise)
    text = family.expert(exercise, rng.choice(EXPERT_STYLES), rng, work)
    own = family.own_style(exercise, work)
    is_corrupted = rng.random() < mixture.corrupted_share
    if is_corrupted and exercise.level in family.unfinished_levels:
        # Slips, or unfinished short solutions, would spread to the solving of easy problems.
        own = own[: -rng.randint(1, MOST_LEFT_OUT)]
    return Text(rewrite_prompt(exercise.question, text), own)


def _general_text(rng: random.Random, mixture: Mixture) -> Text:
    names = (*ABILITIES, *("dedupe",) * (mixture.dedupe_weight - 1))
    ability = ABILITIES[rng.choice(names)]
    while True:
        word = ability.draw(rng, rng.choice(ability.pretrained_lengths))
        question = ability.question(word)
        if split_of(question) == "train":
            return Text(question, ANSWER_MARK + ability.answer(word))
