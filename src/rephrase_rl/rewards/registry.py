"""Verifiers by name, for configuration files. Imports no verifier's dependencies."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards.exact import ExactVerifier
from rephrase_rl.rewards.judge import JudgeVerifier
from rephrase_rl.rewards.math_verifier import MathVerifier

if TYPE_CHECKING:
    from rephrase_rl.rewards.protocol import Verifier

_VERIFIERS: dict[str, Callable[..., Verifier]] = {
    "exact": ExactVerifier,
    "judge": JudgeVerifier,
    "math": MathVerifier,
}


def verifier_names() -> tuple[str, ...]:
    """Names that ``get_verifier`` knows, in alphabetical order."""
    return tuple(sorted(_VERIFIERS))


def get_verifier(name: str, **options: Any) -> Verifier:
    """Build a verifier from its name and options.

    Args:
        name: ``exact``, ``judge`` or ``math``.
        **options: Arguments of its class, such as ``answer_marker`` or ``timeout_s``.

    Raises:
        VerifierError: The name or an option is unknown, or an option's value is out of range.
    """
    if name not in _VERIFIERS:
        raise VerifierError(
            f"found verifier {name!r}; required: one of {', '.join(verifier_names())}"
        )
    signature = inspect.signature(_VERIFIERS[name])
    unknown = sorted(set(options) - set(signature.parameters))
    if unknown:
        raise VerifierError(
            f"verifier {name!r} has no option {', '.join(unknown)}; it takes "
            f"{', '.join(signature.parameters)}"
        )
    required = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is parameter.empty and parameter.name not in options
    ]
    if required:
        raise VerifierError(
            f"verifier {name!r} lacks the option {', '.join(required)}; give it under `options`"
        )
    return _VERIFIERS[name](**options)
