r"""Tokens of arithmetic in running text: numbers, operators, units, and what cannot be computed.

One regular expression, whose alternatives look ahead by a bounded length only, so that time grows
with the length of the text. Currency and ``$`` of LaTeX are blanks; words may be units.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias, cast

Kind: TypeAlias = Literal[
    "number",
    "operator",
    "power",
    "percent",
    "fraction",
    "open",
    "close",
    "equal",
    "about",
    "of",
    "word",
    "modifier",
    "quantity",
    "end",
    "unknown",
]
"""``fraction`` is LaTeX's command, ``power`` a raised digit, ``about`` an approximate equality,
``modifier`` and ``quantity`` words that change the number behind or before them (twice, dozen),
``end`` the end of a phrase, ``unknown`` what has no value here, such as a variable."""

LONGEST_NUMBER = 24
"""Characters of a number; a longer one has no value here."""


class Token(NamedTuple):
    """One token."""

    kind: Kind
    text: str
    """An operator is one of ``+ - * / ^``, whatever it was written as."""
    start: int
    end: int
    value: Fraction | None = None
    """Of a number or a raised digit."""
    decimals: int = 0
    """Decimal places of a number."""
    is_spelled: bool = False
    """Whether an operator is a word of English, such as "plus"."""


_OPERATORS = {
    **dict.fromkeys(("+", "plus"), "+"),
    **dict.fromkeys(("-", "−", "–", "minus"), "-"),
    **dict.fromkeys(
        ("*", "×", "·", "⋅", "∗", "x", "X", r"\times", r"\cdot", r"\ast", "times", "multiplied by"),
        "*",
    ),
    **dict.fromkeys(("/", "÷", "⁄", "∕", r"\div", "divided by"), "/"),
    **dict.fromkeys(("^", "**"), "^"),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUANTITIES = _words(
    "dozen dozens hundred hundreds thousand thousands million millions billion billions trillion "
    "squared cubed ten"
)
"""Words behind which a number is not what it seems."""
_MODIFIERS = _words(
    "twice thrice double doubled triple tripled half halves third thirds quarter quarters fourth "
    "fourths fifth fifths tenth tenths step steps part case equation problem question"
)
"""Words before which a number is a part of something else, or a label; behind it they are units."""
_ARTICLES = frozenset("aiAI")
_SHORT_UNITS = frozenset("mglhs")
"""Single letters that are taken for units where a blank is before them; others are variables."""
_ATTACHED_UNITS = _words(
    "km cm mm kg mg ml lb lbs oz ft in mi yd hr hrs min mins sec secs mph kmh kph gb mb am pm usd "
    "cents hours days minutes seconds miles meters"
)
"""Units that may follow a number without a blank."""

_TOKEN = re.compile(
    r"""
    (?P<bullet>^[ \t]*(?:[-*•+]|\d{1,3}[.)])[ \t]+)
  | (?P<tag><<[^<>\n]{0,200}>>)
  | (?P<blank>[ \t\r\xa0$£€&`"“”]+|(?<!\d)['‘’]|__|\\[,;!: ()\[\]$]
      |\\(?:left|right|boxed|displaystyle|quad|qquad)(?![A-Za-z])
      |\n[ \t&]*(?==)|\\\\[ \t]*+\n?+[ \t&]*+(?==))
  | (?P<about>≈|≃|~=|\\(?:approx|simeq)(?![A-Za-z]))
  | (?P<unknown>[<>!]=|≠|≤|≥|\\(?:neq?|leq?|geq?)(?![A-Za-z])|\.\.\.|…|(?<=\d):(?=\d)
      |!(?=[ ]*(?:[=+*/)-]|\\times|\\cdot)))
  | (?P<arrow>[=-]>|→|⇒|\\(?:implies|Rightarrow|rightarrow|to)(?![A-Za-z]))
  | (?P<equal>={1,2}|(?:is[ ])?\bequal(?:s|[ ]to)\b)
  | (?P<shortfrac>\\[dt]?frac[ ]?\d[ ]?\d)
  | (?P<fraction>\\[dt]?frac(?![A-Za-z]))
  | (?P<operator>(?<=[\d)])\*\*(?=[\d(])|(?<=[\d)][ ])\*\*(?=[ ][\d(])
      |\\(?:times|cdot|ast|div)(?![A-Za-z])|\b(?:plus|minus|multiplied[ ]by|divided[ ]by)\b
      |\btimes(?=[ ]?[$(\\\d]|[ ](?![aAI])[A-Za-z]\b)
      |(?<=[\w)%][ ])[xX](?=[ ]?[$(.\d\\])|(?<=[\d)])[xX](?=[ ]?[$(\d]))
  | (?P<bold>\*\*)
  | (?P<sign>[-+*/^−–×·⋅∗÷⁄∕])
  | (?P<number>(?:\d{1,3}(?:(?:,|\{,\}|,\\!)\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w)])\.\d+)
  | (?P<percent>\\?%|percent\b)
  | (?P<raised>[²³])
  | (?P<label>\\(?:text(?:bf|it|rm)?|mathrm|mathbf|mbox)[ ]?\{[^{}\n]{0,60}\})
  | (?P<command>\\[A-Za-z]+)
  | (?P<open>[(\[{])
  | (?P<close>[)\]}])
  | (?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)
  | (?P<unit>[°¢])
  | (?P<end>[.,;:?!\n—\#]|\\\\)
    """,
    re.VERBOSE | re.MULTILINE,
)
MAX_UNITS_BEFORE_IS = 2
"""Words between a number and the "is" that states a result."""
_RESULT = re.compile(
    r"""[ ][$£€]?-?\d[\d,]*(?:\.\d+)?%?
    (?![ ](?:more|less|fewer|times|greater|smaller|higher|lower|older|younger|of|out)\b)
    (?![\d.]*\d)""",
    re.VERBOSE,
)
_BLANK = frozenset({"tag", "blank", "bold"})
_END = frozenset({"bullet", "arrow", "end"})


def tokenize(text: str) -> list[Token]:
    """All tokens of a text in order; blanks are left out.

    Example:
        >>> [token.kind for token in tokenize(r"so $48/2 = 24$ clips")]
        ['word', 'number', 'operator', 'number', 'equal', 'number', 'word']
    """
    tokens = []
    position = 0
    for match in _TOKEN.finditer(text):
        if match.start() > position:
            tokens.append(Token("unknown", text[position : match.start()], position, match.start()))
        position = match.end()
        token = _token(match, text)
        if token is not None and token.text == "is" and _states_a_result(tokens, text, token.end):
            token = token._replace(kind="equal")
        if token is not None:
            tokens.append(token)
    if position < len(text):
        tokens.append(Token("unknown", text[position:], position, len(text)))
    return tokens


def _states_a_result(tokens: list[Token], text: str, end: int) -> bool:
    """Whether "is" stands for an equals sign: behind an operation in words, before a number.

    "6 plus 2 cats is 8" does, "the second of 2 is 5 years old" does not. A number that is compared
    ("2 plus 3 is 1 more than 4") is no result.
    """
    if _RESULT.match(text, end) is None:
        return False
    last = len(tokens) - 1
    while last > 0 and len(tokens) - last <= MAX_UNITS_BEFORE_IS and tokens[last].kind == "word":
        last -= 1
    if last < 1 or tokens[last].kind != "number":
        return False
    operator = tokens[last - 1]
    return operator.kind == "operator" and operator.is_spelled


def _token(match: re.Match[str], text: str) -> Token | None:
    group, written, start, end = str(match.lastgroup), match.group(), match.start(), match.end()
    if group in _BLANK:
        return None
    if group in ("operator", "sign"):
        spelled = len(written) > 1 and written[0].isalpha()
        return Token("operator", _OPERATORS[written], start, end, is_spelled=spelled)
    if group == "number":
        return _number(written, start, end)
    if group == "raised":
        return Token("power", written, start, end, Fraction(2 if written == "²" else 3))
    if group == "shortfrac":
        digits = [int(c) for c in written if c.isdecimal()]
        value = Fraction(digits[0], digits[1]) if digits[1] else None
        return Token("number" if digits[1] else "unknown", written, start, end, value)
    if group == "word":
        kind = _kind_of_word(written, text[max(start - 1, 0) : start], text[end : end + 1])
        return Token(kind, written, start, end)
    if group == "command":
        return Token("unknown", written, start, end)
    if group in ("label", "unit"):
        return Token("word", written, start, end)
    return Token("end" if group in _END else cast("Kind", group), written, start, end)


def _number(written: str, start: int, end: int) -> Token:
    digits = written.replace("{,}", "").replace(",\\!", "").replace(",", "")
    # 0730 is a time or a code, and a piece of a number that is grouped in another way.
    is_code = len(digits) > 1 and digits[0] == "0" and digits[1] != "."
    if len(digits) > LONGEST_NUMBER or is_code or not digits.isascii():
        return Token("unknown", written, start, end)
    decimals = len(digits.partition(".")[2])
    return Token("number", written, start, end, Fraction(digits), decimals)


def _kind_of_word(word: str, before: str, after: str) -> Kind:
    """Args: the word, and the character before and behind it."""
    lowered = word.lower()
    if lowered == "of":
        return "of"
    if lowered in _QUANTITIES:
        return "quantity"
    if lowered in _MODIFIERS:
        return "modifier"
    if after.isdecimal() or after == "_":
        return "unknown"
    if before.isdecimal():
        return "word" if lowered in _ATTACHED_UNITS else "unknown"
    if len(word) == 1 and word not in _ARTICLES and word not in _SHORT_UNITS:
        return "unknown"
    return "word"
