"""Abilities unlike the domain, which training on the domain could damage.

Each turns a word into another and is answered at once after the answer mark::

    question   rev:kdwmq=
    own style  #qmwdk
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

LETTERS = string.ascii_lowercase
SORT_LETTERS = LETTERS[:16]

HELD_OUT_ABILITY = "sort"
"""The ability that no RL training batch ever contains."""


@dataclass(frozen=True)
class Ability:
    """One ability.

    Attributes:
        name: Kind of its problems.
        verb: How the question names it.
        lengths: Lengths of the words in the questions, which are its levels.
        pretrained_lengths: Lengths that pretraining shows, which may be longer.
        draw: Draws a word of a length.
        answer: The right answer for a word.
        chance: Highest probability, for a length, that an answer written without looking at the
            letters is right.
    """

    name: str
    verb: str
    lengths: tuple[int, ...]
    pretrained_lengths: tuple[int, ...]
    draw: Callable[[random.Random, int], str]
    answer: Callable[[str], str]
    chance: Callable[[int], float]

    def question(self, word: str) -> str:
        """The plain question."""
        return f"{self.verb}:{word}="


def _word(rng: random.Random, length: int) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(length))


def _sortable_word(rng: random.Random, length: int) -> str:
    return "".join(rng.sample(SORT_LETTERS, length))


def _repetitive_word(rng: random.Random, length: int) -> str:
    """A word of ``length - 2`` distinct letters of which two occur twice."""
    distinct = rng.sample(LETTERS, length - 2)
    letters = distinct + rng.sample(distinct, 2)
    rng.shuffle(letters)
    return "".join(letters)


def _shifted(word: str) -> str:
    return "".join(LETTERS[(LETTERS.index(letter) + 1) % len(LETTERS)] for letter in word)


def _swapped(word: str) -> str:
    """Neighbours exchanged; the last letter of an odd word stays."""
    pairs = (word[index : index + 2][::-1] for index in range(0, len(word), 2))
    return "".join(pairs)


def _uniform_chance(length: int) -> float:
    return float(len(LETTERS)) ** -length


def _sort_chance(length: int) -> float:
    return 1.0 / math.comb(len(SORT_LETTERS), length)


def _dedupe_chance(length: int) -> float:
    # By symmetry every sequence of distinct letters is equally likely to be the answer.
    return 1.0 / math.perm(len(LETTERS), length - 2)


ABILITIES: dict[str, Ability] = {
    ability.name: ability
    for ability in (
        Ability("reverse", "rev", (4, 5), (4, 5), _word, lambda w: w[::-1], _uniform_chance),
        Ability("shift", "next", (4, 5), (4, 5), _word, _shifted, _uniform_chance),
        Ability("swap", "swap", (4, 5), (4, 5), _word, _swapped, _uniform_chance),
        Ability(
            "dedupe",
            "uniq",
            (5,),
            (5, 6),
            _repetitive_word,
            lambda w: "".join(dict.fromkeys(w)),
            _dedupe_chance,
        ),
        Ability(
            "sort",
            "sort",
            (4, 5),
            (4, 5),
            _sortable_word,
            lambda w: "".join(sorted(w)),
            _sort_chance,
        ),
    )
}
"""All general abilities by name."""

TRAINED_ABILITIES = tuple(name for name in ABILITIES if name != HELD_OUT_ABILITY)
"""Abilities that mixed training batches may contain."""
