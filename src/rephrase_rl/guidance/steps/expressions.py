"""Exact values of arithmetic expressions among the tokens of a text.

Precedence climbing with bounded depth, length and size of numbers, so that no text is expensive;
what lies outside the bounds, or contains anything without a value, is unknown and not wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rephrase_rl.guidance.steps.tokens import Token

MAX_DEPTH = 12
"""Nested brackets, fractions and signs."""
MAX_OPERATORS = 100
"""Of one expression."""
MAX_UNIT_WORDS = 5
"""Words behind a number that may be its unit."""
LARGEST = 10**40
"""Numerators and denominators above it have no value here."""
LARGEST_EXPONENT = 32

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "of": 2, "//": 3, "^": 5}
"""``//`` is a slash without blanks between two numbers."""
_SIGN_PRECEDENCE = 4


class Amount(NamedTuple):
    """One value, read in two ways."""

    exact: Fraction
    """With a percent sign as a hundredth."""
    plain: Fraction
    """With percent signs left out, as in ``10/50 * 100 = 20%``."""


class Expression(NamedTuple):
    """What stands at a place of the text."""

    end: int
    """Index of the token behind it, units passed over where an equals sign follows them."""
    amount: Amount | None
    """None: it has no value that could be told."""
    operators: int = 0
    unit: Amount | None = None
    """One unit of the last decimal place of a lone number; None for anything else."""
    head: Amount | None = None
    """Value of the first operand, where it is followed by an operator."""


class _Unknown(Exception):
    """Something has no value."""


def read_expression(tokens: Sequence[Token], start: int) -> Expression:
    """Read the longest expression that begins at a token.

    Args:
        tokens: Of the text.
        start: Index of a number, an opening bracket, a fraction or a sign.
    """
    reader = _Reader(tokens, start)
    try:
        amount = reader.read(0, 0)
        reader.refuse_dangling()
    except _Unknown:
        # The place where it broke off, and at least one token on.
        return Expression(max(reader.position, start + 1), None)
    end = reader.position
    after = reader.after_units(end)
    if after < len(tokens) and tokens[after].kind in ("equal", "about"):
        end = after
    return Expression(
        end, amount, reader.operators, _last_place(tokens, start, reader), reader.head
    )


def starts_expression(token: Token) -> bool:
    """Whether an expression can begin with this token, signs aside."""
    return token.kind in ("number", "open", "fraction")


def _last_place(tokens: Sequence[Token], start: int, reader: _Reader) -> Amount | None:
    read = tokens[start : reader.position]
    numbers = [token for token in read if token.kind == "number"]
    if reader.operators or len(numbers) != 1:
        return None
    unit = Fraction(1, 10 ** numbers[0].decimals)
    is_percentage = any(token.kind == "percent" for token in read)
    return Amount(unit / 100 if is_percentage else unit, unit)


class _Reader:
    """Reads one expression; ``position`` is the token that comes next."""

    def __init__(self, tokens: Sequence[Token], start: int) -> None:
        self.tokens = tokens
        self.position = start
        self.operators = 0
        self.head: Amount | None = None

    def read(self, least: int, depth: int) -> Amount:
        """An expression of operators that bind at least so tightly."""
        if depth > MAX_DEPTH:
            raise _Unknown
        start = self.position
        left = self._operand(depth)
        while True:
            symbol, at = self._operator(start)
            if symbol is None or _PRECEDENCE[symbol] <= least:
                return left
            if self.head is None and depth == 0:
                self.head = left
            self.operators += 1
            if self.operators > MAX_OPERATORS:
                raise _Unknown
            self.position = at
            # A power binds its exponent from the right, everything else from the left.
            right = self.read(_PRECEDENCE[symbol] - (symbol == "^"), depth + 1)
            left = _combined(symbol, left, right)

    def refuse_dangling(self) -> None:
        """Refuse an expression that goes on in a way that cannot be read."""
        token = self._peek(self.position)
        if token is None:
            return
        beyond = self.after_units(self.position)
        following = self._peek(beyond)
        if token.kind in ("unknown", "quantity", "number", "fraction", "percent", "power"):
            raise _Unknown
        if token.kind == "open" and token.start == self.tokens[self.position - 1].end:
            raise _Unknown
        if token.kind == "of" and self._starts(self.position + 1):
            raise _Unknown
        if following is not None and following.kind == "operator":
            raise _Unknown

    def after_units(self, position: int) -> int:
        """The place behind words that may be a unit: ``km/h``, ``pieces of wood``, ``(red)``."""
        for words in range(MAX_UNIT_WORDS):
            length = self._unit_length(position, words)
            if not length:
                break
            position += length
        return position

    def _unit_length(self, position: int, words: int) -> int:
        """How many tokens from here on go on with a unit of which there are words already."""
        kinds = [token.kind for token in self.tokens[position : position + 3]]
        text = self.tokens[position].text if kinds else ""
        if kinds[:1] in (["word"], ["modifier"]) or (words and kinds[:1] == ["power"]):
            return 1
        if kinds[:2] == ["operator", "word"] and text == "/":
            return 2
        if words and (kinds[:2] == ["of", "word"] or (text == "^" and kinds[1:2] == ["number"])):
            return 2
        return 3 if kinds == ["open", "word", "close"] else 0

    def _operand(self, depth: int) -> Amount:
        token = self._peek(self.position)
        if token is None:
            raise _Unknown
        if token.kind == "operator" and token.text in "+-":
            self.position += 1
            amount = self.read(_SIGN_PRECEDENCE, depth + 1)
            return amount if token.text == "+" else Amount(-amount.exact, -amount.plain)
        if token.kind == "number" and token.value is not None:
            self.position += 1
            return self._with_suffix(Amount(token.value, token.value))
        if token.kind == "open":
            return self._with_suffix(self._bracket(depth))
        if token.kind == "fraction":
            self.position += 1
            above = self._bracket(depth)
            return _combined("/", above, self._bracket(depth))
        raise _Unknown

    def _bracket(self, depth: int) -> Amount:
        token = self._peek(self.position)
        if token is None or token.kind != "open":
            raise _Unknown
        self.position += 1
        amount = self.read(0, depth + 1)
        self.position = self.after_units(self.position)
        closing = self._peek(self.position)
        if closing is None or closing.kind != "close":
            raise _Unknown
        self.position += 1
        return amount

    def _with_suffix(self, amount: Amount) -> Amount:
        """Take in a percent sign or a raised digit."""
        token = self._peek(self.position)
        if token is not None and token.kind == "percent":
            self.position += 1
            return Amount(amount.exact / 100, amount.plain)
        if token is not None and token.kind == "power" and token.value is not None:
            self.position += 1
            self.operators += 1
            return _combined("^", amount, Amount(token.value, token.value))
        return amount

    def _operator(self, start: int) -> tuple[str | None, int]:
        """The operator that follows, and the place of its right operand."""
        here = self._peek(self.position)
        if here is None:
            return None, self.position
        previous = self.tokens[self.position - 1]
        if here.kind == "open" and here.start == previous.end:
            starts = self._starts(self.position + 1)
            return ("*" if starts else None), self.position
        if here.kind == "of":
            return self._of(start)
        at = self.after_units(self.position)
        token = self._peek(at)
        if token is None or token.kind != "operator" or not self._starts(at + 1):
            return None, self.position
        return ("//" if self._is_tight(at) else token.text), at + 1

    def _is_tight(self, position: int) -> bool:
        """Whether a slash stands without blanks between two numbers: 25 / 1/3 is 75."""
        before, slash, behind = self.tokens[position - 1 : position + 2]
        return (
            slash.text == "/"
            and (before.kind, behind.kind) == ("number", "number")
            and (before.end, slash.end) == (slash.start, behind.start)
        )

    def _of(self, start: int) -> tuple[str | None, int]:
        """``of`` multiplies what is a share: a percentage or a fraction."""
        share = any(
            token.kind in ("percent", "fraction") or token.text == "/"
            for token in self.tokens[start : self.position]
        )
        if share and self._starts(self.position + 1):
            return "of", self.position + 1
        return None, self.position

    def _starts(self, position: int) -> bool:
        """Whether an operand begins here, with or without a sign."""
        token = self._peek(position)
        if token is not None and token.kind == "operator" and token.text == "-":
            token = self._peek(position + 1)
        return token is not None and starts_expression(token)

    def _peek(self, position: int) -> Token | None:
        return self.tokens[position] if position < len(self.tokens) else None


def _combined(symbol: str, left: Amount, right: Amount) -> Amount:
    return Amount(
        _bounded(_apply(symbol, left.exact, right.exact)),
        _bounded(_apply(symbol, left.plain, right.plain)),
    )


def _apply(symbol: str, left: Fraction, right: Fraction) -> Fraction:
    if symbol == "+":
        return left + right
    if symbol == "-":
        return left - right
    if symbol in ("*", "of"):
        return left * right
    if symbol in ("/", "//"):
        if right == 0:
            raise _Unknown
        return left / right
    if right.denominator != 1 or abs(right) > LARGEST_EXPONENT or (left == 0 and right < 0):
        raise _Unknown
    return left ** int(right)


def _bounded(value: Fraction) -> Fraction:
    if abs(value.numerator) > LARGEST or value.denominator > LARGEST:
        raise _Unknown
    return value
