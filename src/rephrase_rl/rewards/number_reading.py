r"""Numbers as people write them in answers: currency, separators, scale words, percent, LaTeX.

``read_number`` reads a text that is one number and nothing else of weight; ``find_number`` finds
the one that a completion gives as its answer. Values are exact fractions. Used by the number
verifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from rephrase_rl.rewards.boxed import before_open_box, boxed_answer
from rephrase_rl.rewards.plain_text import after_thinking, squeezed, undecorated

MAX_CHARS = 200
"""A number with its words is shorter; what is longer is no number."""
TAIL_CHARS = 2000
"""Where an answer without a box and without "answer is" is looked for: the end."""

_SCALES = {
    "hundred": 2,
    "thousand": 3,
    "k": 3,
    "lakh": 5,
    "million": 6,
    "mn": 6,
    "mln": 6,
    "m": 6,
    "crore": 7,
    "billion": 9,
    "bn": 9,
    "bln": 9,
    "b": 9,
    "trillion": 12,
    "tn": 12,
    "t": 12,
}
"""Power of ten of each word. Single letters count right behind the digits and, k apart, as capitals
only: "5 m" and "5m" are metres."""

_DIGITS = (
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}|[0-9]{1,3}(?: [0-9]{3})+"
    r"|[0-9]{1,40})(?:\.[0-9]{1,40})?|\.[0-9]{1,40})(?![0-9]|[.,][0-9])"
)
_UNIT = (
    r"(?:(?:[kKMBT]|bn|mn)(?![A-Za-z])| ?%| ?\)"
    r"| ?(?:percent|per cent|pct|percentage points?|pp)(?![A-Za-z])"
    r"| ?-?(?:(?:hundred|thousand|lakh|million|crore|billion|trillion)s?|mn|mln|bn|bln|tn)"
    r"(?![A-Za-z]))"
)
_NUMBER = re.compile(
    r"(?P<open>\( ?)?(?P<sign>[+-] ?)?(?:\( ?)?"
    r"(?:(?:(?P<whole>[0-9]{1,15}) )?(?P<top>[0-9]{1,15}) ?/ ?(?P<under>[0-9]{1,15})(?![0-9.,/])"
    rf"|(?P<digits>{_DIGITS})"
    r"(?:[eE](?P<e>[+-]?[0-9]{1,3})(?![0-9])"
    r"| ?[×x*] ?10 ?\^ ?\(?(?P<power>[+-]?[0-9]{1,3})\)?(?![0-9]))?"
    r"(?![eE][+-]?[0-9]))"
    rf"(?P<units>{_UNIT}{{0,4}})"
)
_PERCENT = re.compile(r"%|percent|per cent|pct|pp")
_SCALE_WORD = re.compile(r"[A-Za-z]+")

_LATEX = [
    (re.compile(r"\\[dt]?frac ?\{ ?([0-9]{1,15}) ?\} ?\{ ?([0-9]{1,15}) ?\}"), r" \1/\2"),
    (re.compile(r"\\[dt]?frac ?\{ ?-([0-9]{1,15}) ?\} ?\{ ?([0-9]{1,15}) ?\}"), r"-\1/\2"),
    (re.compile(r"\\[dt]?frac ?([0-9]) ?([0-9])"), r" \1/\2"),
    (re.compile(r"(?<=[0-9])\\[,!](?=[0-9]{3})"), ","),
    (re.compile(r"\\(?:times|cdot)(?![A-Za-z])"), "×"),
    (re.compile(r"\\(?:approx|simeq|sim)(?![A-Za-z])"), "≈"),
    (re.compile(r"\^ ?\{? ?\\circ ?\}?"), ""),
    (re.compile(r"(?<=[0-9])(?=[¼½¾⅐-⅞])"), " "),
]
_SUPERSCRIPT = re.compile(r"[⁻⁰¹²³⁴-⁹]{1,4}")
_FROM_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_CURRENCY = re.compile(
    r"\b(?:US|CA|AU|HK|NZ|[ACS])\\?\$|[€£¥₹]|\b(?:USD|EUR|GBP|JPY|CNY|RMB|INR)(?![A-Za-z]) ?"
)
_WORD_MINUS = re.compile(r"\b(?:minus|negative) (?=\(?[0-9.])", re.IGNORECASE)
_DASH_MINUS = re.compile(r"(?<![0-9])(?<![0-9] )[–‒](?= ?[0-9.(])")
_ABOUT = re.compile(
    r"(?:≈|~|=|\b(?:about|approximately|approx\.?|around|roughly|nearly)(?![A-Za-z])) ?", re.I
)
_NAME = re.compile(r"[A-Za-z_][\w ]{0,30} ?[=≈:] ?")
_CALCULATION = re.compile(r"[0-9 .,%()+*/×÷^-]{1,150}[=≈] ?(?=\S)")
_NO_UNIT = re.compile(r"[0-9\\^=√π]")
_CUE = re.compile(
    r"####|\b(?:answer|ans)\b[^.\n]{0,40}?(?:\b(?:is|are|equals|be)\b|[:=])[ \n]?"
    r"(?P<denied>not\b)?",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_IN_WORD = re.compile(r"[\w.]$|[0-9],$")
"""What stands before digits that are no number of their own: the 3 of "Q3", of "1.2.3"."""
_OPERAND = re.compile(r"[0-9%)] ?$|\w$")
_MORE = re.compile(r"(?: [A-Za-z]{1,20})? ?(?:,? ?(?:or|and|to)\b|[-–/]) ?(?=[0-9(.+-])")
_ACCOUNT = re.compile(r"(?<=[$€£¥₹])\\?\s?(?=\([0-9])|(?<==)\s?(?=\([0-9][0-9,.]*\))")
"""Before a number in parentheses that is negative although it stands in a sentence."""
_YEAR = r"((?:19|20)[0-9]{2})(?![0-9%]|[.,][0-9]| ?(?:thousand|million|billion))"
_YEARS = re.compile(
    rf"\b(?:in|of|for|from|between) {_YEAR} ?(?:to|and|through|-|,) ?{_YEAR}"
    rf"|(?:\b(?:in|for|during|since|year|fiscal|FY) ?|\(){_YEAR}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Number:
    """One number as it was written."""

    value: Fraction
    """Without scale word and percent sign: 12.6 for "12.6 million"."""
    place: int | None
    """Power of ten of the last digit that was written: -1 for 12.6. None: exact, as 3/4 is."""
    scale: int = 0
    """Power of ten of the scale words: 6 for million; 0: there are none."""
    is_percent: bool = False


class FoundNumber(NamedTuple):
    """What a completion gives as its answer."""

    number: Number | None
    said: str | None
    """The text it was read from; None if there is no number at all."""


def read_number(text: str, *, accounting: bool = True) -> Number | None:
    r"""Read a text that is one number, with its name before and its unit behind it at most.

    Args:
        text: Such as ``$1,234.5 million``, ``(12.6)``, ``x = \frac{3}{4}`` or ``12\%``.
        accounting: Whether parentheses around the number make it negative.

    Returns:
        None if the text is anything else: several numbers, a formula, words.

    Example:
        >>> read_number("($12.6 million)")
        Number(value=Fraction(-63, 5), place=-1, scale=6, is_percent=False)
    """
    if len(text) > MAX_CHARS:
        return None
    text = _without_preamble(_prepared(text))
    match = _NUMBER.match(text)
    if match is None or _NO_UNIT.search(text, match.end()):
        return None
    return _number(match, accounting)


def find_number(completion: str, *, accounting: bool = True) -> FoundNumber:
    """Find the number that a completion gives as its answer.

    The last box counts; without one the whole text, if it is a number; else the sentence behind the
    last "answer is" or ``####``; without that the last number, years apart ("in 2019"). A box or
    sentence that gives several numbers, or none, gives no answer.
    """
    text = after_thinking(completion)
    boxed = boxed_answer(text)
    if boxed is not None:
        return FoundNumber(read_number(boxed, accounting=accounting), boxed)
    text = before_open_box(text)
    whole = read_number(text.strip(), accounting=accounting)
    if whole is not None:
        return FoundNumber(whole, text.strip())
    text = _prepared(_with_accounts(text) if accounting else text)
    cues = [cue for cue in _CUE.finditer(text) if not cue["denied"]]
    if cues:
        return _stated(text[cues[-1].end() : cues[-1].end() + MAX_CHARS].strip(), accounting)
    tail = text[-TAIL_CHARS:]
    matches = _numbers_in(tail)
    if not matches:
        return FoundNumber(None, None)
    return FoundNumber(_number(matches[-1], accounting=False), matches[-1].group().strip())


def _stated(said: str, accounting: bool) -> FoundNumber:
    """The number of a sentence that says what the answer is."""
    said = _without_preamble(said)
    end = _SENTENCE_END.search(said)
    said = said if end is None else said[: end.start()]
    matches = _numbers_in(said)
    if not matches:
        return FoundNumber(None, said)
    first = matches[0]
    if len(matches) > 1 and _MORE.match(said, first.end()):
        return FoundNumber(None, said)
    return FoundNumber(_number(first, accounting and first.start() == 0), first.group().strip())


def _numbers_in(text: str) -> list[re.Match[str]]:
    """The numbers of a text in order, those that are names of years apart if there are others."""
    years = {m.start(i) for m in _YEARS.finditer(text) for i in (1, 2, 3) if m[i] is not None}
    found = []
    for match in _NUMBER.finditer(text):
        start = _first_digit(match)
        if _IN_WORD.search(text, max(0, start - 2), start) is None:
            found.append(match)
    return [m for m in found if _first_digit(m) not in years] or found


def _first_digit(match: re.Match[str]) -> int:
    return match.start("digits") if match["digits"] else match.start("top")


def _is_signed(match: re.Match[str]) -> bool:
    """Whether a sign belongs to the number: that of "5 - 3", "3-5" and "A-3" does not."""
    if match["sign"] is None:
        return False
    before = match.string[max(0, match.start("sign") - 2) : match.start("sign")]
    return _OPERAND.search(before) is None


def _without_preamble(text: str) -> str:
    """Take "x =", "about" and a calculation with its equals sign off the start of a text."""
    for pattern in (_NAME, _CALCULATION, _ABOUT):
        match = pattern.match(text)
        while match is not None:
            text = text[match.end() :]
            match = pattern.match(text)
    return text


def _with_accounts(text: str) -> str:
    """A text in which "$(94)" and "= (94)" have a minus sign."""
    return _ACCOUNT.sub("-", text)


def _prepared(text: str) -> str:
    """A text in which numbers have one form: no currency, LaTeX, odd dashes or superscripts."""
    for pattern, form in _LATEX:
        text = pattern.sub(form, text)
    text = _SUPERSCRIPT.sub(lambda m: "^" + m.group().translate(_FROM_SUPERSCRIPT), text)
    text = squeezed(undecorated(_CURRENCY.sub("", text))).replace("⁄", "/").replace("−", "-")
    return _WORD_MINUS.sub("-", _DASH_MINUS.sub("-", text))


def _number(match: re.Match[str], accounting: bool) -> Number | None:
    under = match["under"]
    place: int | None
    if under is not None:
        if int(under) == 0:
            return None
        value = int(match["whole"] or 0) + Fraction(int(match["top"]), int(under))
        place = None
    else:
        digits = re.sub("[, ]", "", match["digits"])
        power = int(match["e"] or match["power"] or 0)
        value = Fraction(digits) * Fraction(10) ** power
        place = power - len(digits.partition(".")[2])
    units = match["units"]
    is_negative = _is_signed(match) and match["sign"].startswith("-")
    if accounting and match["open"] and ")" in units and not match["sign"]:
        is_negative = True
    words = [word.lower() for word in _SCALE_WORD.findall(units)]
    scale = sum(_SCALES.get(word.removesuffix("s"), 0) for word in words)
    return Number(
        -value if is_negative else value, place, scale, _PERCENT.search(units) is not None
    )
