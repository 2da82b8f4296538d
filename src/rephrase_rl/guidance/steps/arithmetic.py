r"""Steps of the form ``a op b = c`` in prose and LaTeX, and whether they are right.

Exact, with fractions; a decimal may be rounded or cut off. What has no value here (variables,
"twice", roots) is passed over, never counted as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.guidance.steps.expressions import Expression, read_expression, starts_expression
from rephrase_rl.guidance.steps.tokens import tokenize
from rephrase_rl.guidance.steps.validity import StepValidity

if TYPE_CHECKING:
    from fractions import Fraction

    from rephrase_rl.guidance.steps.expressions import Amount
    from rephrase_rl.guidance.steps.tokens import Token


class Step(NamedTuple):
    """One equation that could be checked."""

    text: str
    """As it stands in the text."""
    is_valid: bool


def arithmetic_steps(text: str) -> StepValidity:
    r"""Count the arithmetic steps of a text, and the right ones among them.

    Time grows with the length of the text, and no text raises.

    Example:
        >>> arithmetic_steps(r"So 48/2 = 24 clips, and $\frac{1}{2} \times 6 = 4$.")
        StepValidity(valid=1, found=2)
    """
    steps = find_steps(text)
    return StepValidity(sum(step.is_valid for step in steps), len(steps))


def find_steps(text: str) -> list[Step]:
    """All arithmetic steps of a text, in order; one for each equals sign between two values.

    A step has an operator on one side at least: ``cost = 5`` is none. A run of equals signs that
    carries on the last result, as in ``3 + 4 = 7 + 2 = 9``, counts as two right steps.

    Example:
        >>> [step.text for step in find_steps("He has 3 + 4 = 7 cats, or 2 * 3 = 5.")]
        ['3 + 4 = 7', '2 * 3 = 5']
    """
    tokens = tokenize(text)
    steps = []
    for left, right in _equations(tokens):
        a, b = left.expression, right.expression
        if a.amount is None or b.amount is None or not (a.operators or b.operators):
            continue
        if _describes(tokens, left, b):
            continue
        about = tokens[a.end].kind == "about"
        carried_on = right.is_followed and b.head == a.amount
        is_valid = carried_on or _agree(a, b, about)
        written = text[tokens[left.start].start : tokens[right.last].end]
        steps.append(Step(written, is_valid))
    return steps


class _Side(NamedTuple):
    """One side of an equals sign."""

    start: int
    expression: Expression
    last: int
    """Index of its last token, without units."""
    is_followed: bool
    """Whether an equals sign comes behind it."""


def _equations(tokens: list[Token]) -> Iterator[tuple[_Side, _Side]]:
    """Pairs of expressions with an equals sign in between."""
    before: _Side | None = None
    position = 0
    while position < len(tokens):
        if not _begins_cleanly(tokens, position):
            before = None
            position += 1
            continue
        expression = read_expression(tokens, position)
        end = expression.end
        is_followed = end < len(tokens) and tokens[end].kind in ("equal", "about")
        last = end - 1
        while last > position and tokens[last].kind == "word":
            last -= 1
        side = _Side(position, expression, last, is_followed)
        if before is not None:
            yield before, side
        before = side if is_followed else None
        position = end + 1 if is_followed else end


def _describes(tokens: list[Token], left: _Side, right: Expression) -> bool:
    """Whether the left side is a thing and no value: ``4 rooms = 11 * 4``, ``1/3 = $20``."""
    written = tokens[left.start : left.expression.end]
    if not left.expression.operators:
        return any(token.kind != "number" for token in written)
    amounts = [token.value for token in written if token.kind == "number"]
    operators = [token for token in written if token.kind == "operator"]
    # "divided by" is an operation and no name of a share.
    is_share = [token.text for token in operators] == ["/"] and not operators[0].is_spelled
    return (
        is_share
        and len(amounts) == 2
        and left.expression.amount is not None
        and right.amount is not None
        and left.expression.amount.exact < 1 <= right.amount.exact
    )


def _begins_cleanly(tokens: list[Token], position: int) -> bool:
    """Whether an expression begins here that is not the tail of a longer one."""
    token = tokens[position]
    previous = tokens[position - 1] if position else None
    if token.kind == "operator" and token.text == "-":
        return previous is None or previous.kind in ("equal", "about", "end", "open")
    if not starts_expression(token):
        return False
    if previous is not None and previous.kind == "of":
        # "a total of 3 + 4", but not "half of 10 + 2"
        return position > 1 and tokens[position - 2].kind == "word"
    return previous is None or previous.kind in ("equal", "about", "end", "word", "open", "close")


def _agree(left: Expression, right: Expression, about: bool) -> bool:
    """Whether two sides have the same value, in one way of reading percent signs."""
    assert left.amount is not None  # noqa: S101  (narrows the type)
    assert right.amount is not None  # noqa: S101  (narrows the type)
    return any(
        a == b or _rounded(a, b, unit, about)
        for a, b, unit in _readings(left.amount, right.amount, left.unit, right.unit)
    )


def _readings(
    left: Amount, right: Amount, left_unit: Amount | None, right_unit: Amount | None
) -> Iterator[tuple[Fraction, Fraction, Fraction | None]]:
    """Both values, and a unit of the last place of the side that may be rounded."""
    unit = right_unit or left_unit
    yield left.exact, right.exact, unit and unit.exact
    yield left.plain, right.plain, unit and unit.plain
    yield left.exact, right.plain, right_unit and right_unit.plain
    yield left.plain, right.exact, left_unit and left_unit.plain


def _rounded(value: Fraction, shown: Fraction, unit: Fraction | None, about: bool) -> bool:
    """Whether two values differ by less than one unit of the last place that is shown.

    A whole number is no rounded one, unless the sign says so.
    """
    if unit is None or (unit >= 1 and not about):
        return False
    return abs(value - shown) < unit
