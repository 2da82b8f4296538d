"""Checks of verifiers' options, so that a wrong one is refused before a run starts.

Each check returns faults instead of raising, since a user wants to hear of all of them at once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rephrase_rl.errors import VerifierError


def refuse(verifier: str, faults: Iterable[str]) -> None:
    """Raise if there are faults.

    Raises:
        VerifierError: With every fault.
    """
    found = list(faults)
    if found:
        faults = "; ".join(found)
        raise VerifierError(f"verifier {verifier!r}: {faults}; correct these options")


def one_of(option: str, value: Any, allowed: Sequence[str]) -> list[str]:
    """The value must be one of several words."""
    if isinstance(value, str) and value in allowed:
        return []
    return [f"found {option}={value!r}, required: one of {', '.join(allowed)}"]


def number_within(
    option: str, value: Any, low: float, high: float = math.inf, *, whole: bool = False
) -> list[str]:
    """The value must be a number, or a whole number, from ``low`` to ``high``."""
    kinds = int if whole else int | float
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    # math.isfinite would raise on a whole number that no float can hold.
    if is_number and low <= value <= high and abs(value) <= sys.float_info.max:
        return []
    kind = "a whole number" if whole else "a number"
    upper = "" if math.isinf(high) else f" and at most {high:g}"
    return [f"found {option}={value!r}, required: {kind} of at least {low:g}{upper}"]


def true_or_false(option: str, value: Any) -> list[str]:
    """The value must be true or false."""
    return [] if isinstance(value, bool) else [f"found {option}={value!r}, required: true or false"]


def filled_text(option: str, value: Any) -> list[str]:
    """The value must be a text that is not empty."""
    if isinstance(value, str) and value:
        return []
    return [f"found {option}={value!r}, required: a text that is not empty"]
