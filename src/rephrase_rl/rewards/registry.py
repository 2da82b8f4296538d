"""Verifiers by name, for configuration files. Imports no verifier's dependencies."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards.choice import ChoiceVerifier
from rephrase_rl.rewards.composite import AllOf, FirstOf, Gated
from rephrase_rl.rewards.exact import ExactVerifier
from rephrase_rl.rewards.format import FormatVerifier
from rephrase_rl.rewards.judge import JudgeVerifier
from rephrase_rl.rewards.length import LengthVerifier
from rephrase_rl.rewards.math_verifier import MathVerifier
from rephrase_rl.rewards.number import NumberVerifier
from rephrase_rl.rewards.protocol import Verifier
from rephrase_rl.rewards.text import rouge_l, text_exact, text_f1

if TYPE_CHECKING:
    from typing import TypeAlias

Part: TypeAlias = "Verifier | str | Mapping[str, Any]"
"""A verifier inside another one: an object, a name, or ``{verifier: name, options: {...}}``."""


def _all_of(verifiers: Sequence[Part], name: str = "all_of") -> AllOf:
    return AllOf(_parts(name, verifiers), name)


def _first_of(verifiers: Sequence[Part], name: str = "first_of") -> FirstOf:
    return FirstOf(_parts(name, verifiers), name)


def _parts(name: str, verifiers: Sequence[Part]) -> list[Verifier]:
    if isinstance(verifiers, str | Mapping) or not isinstance(verifiers, Sequence):
        raise VerifierError(
            f"verifier {name!r}: found verifiers={verifiers!r}, required: a list of verifiers"
        )
    return [_part(name, part) for part in verifiers]


def _gated(gate: Part, then: Part, share: float = 0.2, name: str = "gated") -> Gated:
    return Gated(_part(name, gate), _part(name, then), share, name)


_VERIFIERS: dict[str, Callable[..., Verifier]] = {
    "all_of": _all_of,
    "choice": ChoiceVerifier,
    "exact": ExactVerifier,
    "first_of": _first_of,
    "format": FormatVerifier,
    "gated": _gated,
    "judge": JudgeVerifier,
    "length": LengthVerifier,
    "math": MathVerifier,
    "number": NumberVerifier,
    "rouge_l": rouge_l,
    "text_exact": text_exact,
    "text_f1": text_f1,
}


def verifier_names() -> tuple[str, ...]:
    """Names that ``get_verifier`` knows, in alphabetical order."""
    return tuple(sorted(_VERIFIERS))


def refuse_unknown_name(name: str) -> None:
    """Refuse the name of no verifier of ours.

    Raises:
        VerifierError: ``verifier_names`` does not have it.
    """
    if name not in _VERIFIERS:
        close = difflib.get_close_matches(name, _VERIFIERS, n=1)
        raise VerifierError(
            f"found verifier {name!r}; required: one of {', '.join(verifier_names())}, or "
            "package.module:name or path/to/file.py:name of your own; do this: "
            + (f"take {close[0]!r}, if that is meant" if close else "correct the name")
        )


def get_verifier(name: str, /, **options: Any) -> Verifier:
    """Build a verifier from its name and options.

    Args:
        name: One of ``verifier_names``.
        **options: Arguments of its class, such as ``answer_marker`` or ``timeout_s``.

    Raises:
        VerifierError: The name or an option is unknown, one is missing or out of range.
    """
    refuse_unknown_name(name)
    parameters = inspect.signature(_VERIFIERS[name]).parameters
    unknown = sorted(set(options) - set(parameters))
    missing = [
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty and parameter.name not in options
    ]
    if unknown or missing:
        faults = [f"no option {', '.join(unknown)}"] if unknown else []
        faults += [f"to be given {', '.join(missing)}"] if missing else []
        raise VerifierError(
            f"verifier {name!r} has {' and has '.join(faults)}; it takes {', '.join(parameters)}"
        )
    return _VERIFIERS[name](**options)


def _part(whole: str, part: Part) -> Verifier:
    """A verifier inside another one."""
    if isinstance(part, Verifier):
        return part
    if isinstance(part, str):
        return get_verifier(part)
    if isinstance(part, Mapping) and "verifier" in part and set(part) <= {"verifier", "options"}:
        return get_verifier(part["verifier"], **dict(part.get("options") or {}))
    raise VerifierError(
        f"verifier {whole!r}: found {part!r} as a verifier in it; required: a name, or a mapping "
        "with verifier and options"
    )
