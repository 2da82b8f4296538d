"""What every verifier offers. Imported by everything that scores completions; imports records only.

A verifier compares a completion with the reference answer and says how sure it is of being able to
judge at all: a gold answer it cannot read, a time-out or a crash is a status, never a reward of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rephrase_rl.errors import VerifierError

if TYPE_CHECKING:
    from rephrase_rl.records import Verdict


@runtime_checkable
class Verifier(Protocol):
    """Judges completions against reference answers."""

    @property
    def name(self) -> str:
        """Name in metrics and records."""
        ...

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Return one verdict per completion, in order.

        Args:
            completions: Generated texts.
            reference_answers: The checkable answer of each completion's problem, same length.
        """
        ...

    def close(self) -> None:
        """Free what the verifier holds (processes, connections); it may be called twice."""
        ...


@runtime_checkable
class JudgesAhead(Protocol):
    """A verifier that can begin before it is asked, beside whatever the caller does meanwhile."""

    def verify_ahead(self, completions: Sequence[str], reference_answers: Sequence[str]) -> None:
        """Begin to judge; ``verify`` of the same pairs then has less to wait for.

        Args:
            completions: As for ``Verifier.verify``.
            reference_answers: Likewise.
        """
        ...


def check_same_length(completions: Sequence[str], reference_answers: Sequence[str]) -> None:
    """Refuse a call whose two sequences do not belong together.

    Raises:
        VerifierError: The lengths differ.
    """
    if len(completions) != len(reference_answers):
        raise VerifierError(
            f"found {len(completions)} completions and {len(reference_answers)} reference answers; "
            "one answer per completion is required: repeat each problem's answer for its group"
        )
