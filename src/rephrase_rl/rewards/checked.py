"""Holds a verifier to its promise: one verdict per completion, each with a number or a reason.

A user's verifier may raise, or return anything. What it returns in place of a verdict is a verdict
that says so; too few or too many of them cannot be told apart and stop the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rephrase_rl.errors import RephraseError, VerifierError
from rephrase_rl.records import Verdict

SHOWN_CHARS = 80


def checked_verdicts(name: str, count: int, judge: Callable[[], Any]) -> list[Verdict]:
    """The verdicts of one call, whatever the verifier did.

    Args:
        name: The verifier's.
        count: Completions that were to be judged.
        judge: Makes the call.

    Raises:
        VerifierError: It returned no sequence, or one of another length.
    """
    try:
        found = judge()
    except RephraseError:
        raise
    # A user's code may raise anything, and call exit(); it is a status, too many stop the run.
    except (Exception, SystemExit) as error:
        return [Verdict("error", None, detail=f"{type(error).__name__}: {error}")] * count
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != count:
        what = f"{len(found)} values" if isinstance(found, list | tuple) else _shown(found)
        raise VerifierError(
            f"verifier {name!r} was asked about {count} completions and returned {what}; required: "
            "a list with one Verdict for each, in order: correct its verify"
        )
    return [_checked(name, verdict) for verdict in found]


def _checked(name: str, found: Any) -> Verdict:
    if not isinstance(found, Verdict):
        return Verdict(
            "error", None, detail=f"{name} returned {_shown(found)}, which is no Verdict"
        )
    if found.status != "scored":
        return found
    value = found.value
    if isinstance(value, int | float) and math.isfinite(value):
        return found
    detail = f"{name} scored {_shown(value)}, which is no finite number"
    return Verdict("error", None, answer=found.answer, detail=detail)


def _shown(value: Any) -> str:
    return repr(value)[:SHOWN_CHARS]
