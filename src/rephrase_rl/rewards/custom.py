"""A user's own function or class as a verifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rephrase_rl.errors import VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards.protocol import Verifier, check_same_length


class FunctionVerifier:
    """Judges with a function (completion, reference answer) -> reward, or None if it cannot.

    An exception, NaN or anything that is no number is a verdict that says so, never a reward of 0.
    """

    def __init__(
        self, function: Callable[..., Any], options: Mapping[str, Any] | None = None
    ) -> None:
        """Args: function, and keyword arguments that are passed with every call."""
        self._function = function
        self._options = dict(options or {})
        self.name: str = getattr(function, "__name__", type(function).__name__)

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """One verdict per completion, in order."""
        check_same_length(completions, reference_answers)
        return [
            self._verdict(completion, answer)
            for completion, answer in zip(completions, reference_answers, strict=True)
        ]

    def _verdict(self, completion: str, answer: str) -> Verdict:
        try:
            value = self._function(completion, answer, **self._options)
        except (Exception, SystemExit) as error:  # exit() would end the run without a word
            return Verdict("error", None, detail=f"{type(error).__name__}: {error}")
        if value is None:
            return Verdict("unscorable", None, detail=f"{self.name} returned None")
        # float() raises on a whole number that it cannot hold.
        try:
            reward = float(value) if isinstance(value, int | float) else math.nan
        except OverflowError:
            reward = math.inf
        if not math.isfinite(reward):
            return Verdict(
                "error", None, detail=f"{self.name} returned {value!r}, which is no finite number"
            )
        return Verdict("scored", reward)

    def close(self) -> None:
        """Nothing is held."""


def as_verifier(found: Any, options: Mapping[str, Any]) -> Verifier:
    """Make a verifier of what a user's import path leads to.

    Args:
        found: A verifier class, which is called with the options, a verifier, or a function.
        options: The options of the configuration.

    Raises:
        VerifierError: It is none of these, or the class cannot be built.
    """
    if isinstance(found, type):
        try:
            found = found(**options)
        except Exception as error:
            raise VerifierError(
                f"verifier {found.__name__} cannot be built with options {dict(options)} "
                f"({type(error).__name__}: {error}); required: a class that takes them"
            ) from error
        options = {}
    if isinstance(found, Verifier):
        return found
    if callable(found):
        return FunctionVerifier(found, options)
    raise VerifierError(
        f"found {type(found).__name__}; required: a class with name, verify and close (see "
        "rephrase_rl.rewards.Verifier), or a function (completion, reference_answer) -> reward"
    )
