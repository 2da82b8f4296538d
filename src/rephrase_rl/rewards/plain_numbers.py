r"""The fast exact path of the mathematics verifier: two plain numbers, compared as fractions.

Most answers of word problems are plain numbers, for which a symbolic comparison in a worker is a
thousand times too much. What is read here is read the same way by ``math_judge`` (a property test
compares them); everything else is left to it. Imports no mathematics library.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rephrase_rl.records import Verdict

_WHOLE = r"(?:0|[1-9][0-9]{0,11}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,3})"
_PLAIN = re.compile(
    rf"(?P<sign>-?)(?:(?P<number>{_WHOLE}(?:\.[0-9]{{1,8}})?|\.[0-9]{{1,8}})"
    r"|(?P<over>[0-9]{1,9}) ?/ ?(?P<under>[1-9][0-9]{0,8})"
    r"|\\[dt]?frac\{(?P<inner>-?)(?P<top>[0-9]{1,9})\}\{(?P<bottom>[1-9][0-9]{0,8})\})"
)

ROUNDING_ZONE = Fraction(2, 10**6)
"""math-verify rounds decimals to 6 places; within this distance its judgement is asked for."""


def judge_plainly(found: str, is_boxed: bool, reference_answer: str) -> Verdict | None:
    """Judge two plain numbers: whole, decimal or a fraction of whole numbers.

    Gives the verdict that ``judge_math`` gives, or None if that one is needed.
    """
    if not is_boxed:
        return None
    value, reference = plain_value(found), reference_answer.strip()
    reference_value = None if value is None else plain_value(reference)
    if value is None or reference_value is None:
        return None
    if value == reference_value:
        return Verdict("scored", 1.0, found)
    if abs(value - reference_value) <= ROUNDING_ZONE:
        return None
    return Verdict("scored", 0.0, found, f"differs from {reference!r}")


def plain_value(text: str) -> Fraction | None:
    r"""Value of a plain number such as ``1,234.5``, ``-3/4`` or ``\frac{3}{4}``, else None.

    Example:
        >>> plain_value(r"-\frac{3}{4}"), plain_value("1,250.50"), plain_value("1,25")
        (Fraction(-3, 4), Fraction(2501, 2), None)
    """
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    sign, number, over, under, inner, top, bottom = match.groups()
    if number is not None:
        value = Fraction(number.replace(",", ""))
    elif over is not None:
        value = Fraction(int(over), int(under))
    else:
        value = Fraction(int(inner + top), int(bottom))
    return -value if sign else value
