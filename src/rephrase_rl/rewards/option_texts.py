"""The options of a multiple-choice question: their letters, and their texts in comparable form."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rephrase_rl.rewards.plain_text import undecorated

LETTERS = "ABCDEFGHIJ"
"""MMLU-Pro and SuperGPQA have up to ten options."""

_LABEL = re.compile(r"\s*[(\[]?([A-Ja-j])[)\].:]\s*(?=\S)")
_IN_PARENTHESES = re.compile(r"\(([^()]*)\)")
_ARTICLE = re.compile(r"(?:a|an|the)\s+")
_DIGIT_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_AFTER_OPTION = re.compile(
    r"[.,;:!)\"'](?=\s|$)|\s+(?:because|since|as|which|so|due|for|given|thus|therefore|-|–|\()"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What letters mean in one question."""

    letters: str
    """The letters that count, from A on."""
    texts: tuple[str, ...] = ()
    """Comparable text of each option, in order; empty if the options are not known."""
    unique: tuple[tuple[str, str], ...] = ()
    """(text, letter) of the options whose text no other option has, longest first."""

    def letter_of(self, text: str) -> str | None:
        """Letter of the one option whose text this is."""
        if not self.unique:
            return None
        wanted = comparable(text)
        inside = _IN_PARENTHESES.fullmatch(wanted)
        forms = (wanted,) if inside is None else (wanted, inside[1])
        return next((letter for own, letter in self.unique if own in forms), None)

    def letter_at_start(self, text: str) -> str | None:
        """Letter of the longest option that the text begins with, a clause or reason after it."""
        if not self.unique:
            return None
        wanted = comparable(text)
        for own, letter in self.unique:
            if wanted.startswith(own) and _AFTER_OPTION.match(wanted, len(own)):
                return letter
        return None


UNKNOWN_OPTIONS = Options(LETTERS)
"""Of a question whose options did not reach the verifier: ten letters, no texts."""


def read_options(found: Any) -> Options | str:
    """The options of a question, or what is wrong with them.

    Args:
        found: The problem's ``options``: a list of texts, with or without their labels; None where
            they are not known.
    """
    if found is None:
        return UNKNOWN_OPTIONS
    if not isinstance(found, list | tuple) or not 2 <= len(found) <= len(LETTERS):
        return f"options are {_shown(found)}; required: a list of 2 to {len(LETTERS)} texts"
    texts = tuple(comparable(text) for text in _without_labels([str(item) for item in found]))
    counts = Counter(texts)
    letters = LETTERS[: len(texts)]
    unique = [(t, c) for t, c in zip(texts, letters, strict=True) if t and counts[t] == 1]
    return Options(letters, texts, tuple(sorted(unique, key=lambda pair: -len(pair[0]))))


def comparable(text: str) -> str:
    """A text without case, decoration, thousands separators, outer quotes, article and full stop.

    Signs and decimal points stay: options often differ in nothing else.

    Example:
        >>> comparable("The  *Bloody* mess."), comparable("$32,400$"), comparable("-5")
        ('*bloody* mess', '32400', '-5')
    """
    text = " ".join(undecorated(text).casefold().split()).strip("\"' ")
    text = text.removesuffix(".").rstrip("\"' ")
    text = _DIGIT_GROUPS.sub("", text)
    return _ARTICLE.sub("", text, count=1) if _ARTICLE.match(text) else text


def _without_labels(options: list[str]) -> list[str]:
    """Options without their labels, if every option has the label of its place."""
    labels = [_LABEL.match(option) for option in options]
    for label, letter in zip(labels, LETTERS, strict=False):
        if label is None or label.group(1).upper() != letter:
            return options
    return [o[label.end() :] if label else o for o, label in zip(options, labels, strict=True)]


def _shown(value: object) -> str:
    size = f" of {len(value)}" if isinstance(value, list | tuple | dict) else ""
    return f"{type(value).__name__}{size}"
