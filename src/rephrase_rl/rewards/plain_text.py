r"""Completions without their decoration: LaTeX wrappers, Markdown, look-alike characters.

Models write the same answer as ``B``, ``**B**``, ``$\text{B}$`` or in full-width letters. Pure text
work in linear time, for the verifiers that read words; mathematics keeps its LaTeX.
"""

from __future__ import annotations

import re
import unicodedata

_WRAPPER = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf|tt|normal)|mbox|emph|boxed|fbox)\s*\{"
)
_COMMAND = re.compile(
    r"\\(?:left|right|big[lr]?|Big[lr]?|displaystyle|quad|qquad|[,;:!()\[\] ])(?![A-Za-z])"
)
_MARKS = re.compile(r"\*\*|__|`|\\(?=[%$#&_{}])|[${}]")
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_UNSEEN = re.compile("[\u200b-\u200f\u2060\ufeff]")
_BLANKS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[\s]*")
_THINK_END = "</think>"


def after_thinking(text: str) -> str:
    """What follows the last ``</think>``; the whole text if there is none, or nothing after it."""
    _, _, answer = text.rpartition(_THINK_END)
    return answer if answer.strip() else text


def undecorated(text: str) -> str:
    r"""Take LaTeX wrappers, Markdown emphasis and typographic variants off a text.

    Example:
        >>> undecorated(r"**Answer:** $\text{(B)}$")
        'Answer: (B)'
    """
    text = visible(straight_quotes(unicodedata.normalize("NFKC", text)))
    return _MARKS.sub("", _COMMAND.sub(" ", _WRAPPER.sub("", text)))


def visible(text: str) -> str:
    r"""A text with ASCII for full-width characters and digits, without what nobody can see.

    Example:
        >>> visible("\uff11\u0662\u200b")
        '12'
    """
    text = _UNSEEN.sub("", text.translate(_FULL_WIDTH))
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit.group())), text)


def straight_quotes(text: str) -> str:
    """A text with straight quotes in place of typographic ones."""
    return text.translate(_QUOTES)


def squeezed(text: str) -> str:
    """A text with single blanks and single line breaks, so that patterns need not look far."""
    return _BREAKS.sub("\n", _BLANKS.sub(" ", text)).strip()
