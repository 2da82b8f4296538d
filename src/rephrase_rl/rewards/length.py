"""Verifier for length: full reward up to a limit, then a slope down to nothing.

The shape is DAPO's soft overlong punishment (arXiv:2503.14476, section 3.4) plus 1: a constant is
the same for all members of a group, so advantages are DAPO's and the value stays in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rephrase_rl.errors import VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards.context import COMPLETION_IDS
from rephrase_rl.rewards.protocol import check_same_length
from rephrase_rl.rewards.settings import number_within, one_of, refuse

Unit = Literal["tokens", "characters"]


class LengthVerifier:
    """1 up to ``limit - buffer``, then down in a straight line to 0 at ``limit`` and beyond.

    Example:
        >>> verifier = LengthVerifier(limit=10, buffer=4, unit="characters")
        >>> [v.value for v in verifier.verify(["x" * 6, "x" * 9, "x" * 12], [""] * 3)]
        [1.0, 0.25, 0.0]
    """

    def __init__(
        self, limit: int, buffer: int = 0, unit: Unit = "tokens", name: str = "length"
    ) -> None:
        """Set the slope.

        Args:
            limit: Length from which the value is 0 (with ``buffer: 0``: beyond which), >= 1.
            buffer: Length of the slope below the limit, 0 to ``limit``.
            unit: ``tokens``: as sampled, the end token included; they come with the texts in
                training and evaluation. ``characters``: of the text.
            name: Name in metrics and records.

        Raises:
            VerifierError: An option is out of range.
        """
        faults = [
            *number_within("limit", limit, 1, whole=True),
            *number_within("buffer", buffer, 0, whole=True),
            *one_of("unit", unit, ("tokens", "characters")),
        ]
        if not faults and buffer > limit:
            faults.append(f"found buffer={buffer}, required: at most limit={limit}")
        refuse(name, faults)
        self.name = name
        self.context_columns = (COMPLETION_IDS,) if unit == "tokens" else ()
        self._limit = limit
        self._buffer = buffer
        self._unit = unit

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion by its text alone.

        Raises:
            VerifierError: The sequences differ in length, or tokens were to be counted.
        """
        return self.verify_in_context(completions, reference_answers, {})

    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Judge each completion; ``context`` has ``completion_ids`` where tokens are counted.

        Raises:
            VerifierError: The sequences differ in length, or there are no tokens to count.
        """
        check_same_length(completions, reference_answers)
        measured: Sequence[Any] = completions
        if self._unit == "tokens":
            if COMPLETION_IDS not in context:
                raise VerifierError(
                    f"verifier {self.name!r} counts tokens and found texts alone; required: the "
                    f"column {COMPLETION_IDS!r}: use unit: characters where texts are all there is"
                )
            measured = context[COMPLETION_IDS]
            check_same_length(measured, completions)
        return [self._verdict(len(one)) for one in measured]

    def close(self) -> None:
        """Nothing is held."""

    def _verdict(self, length: int) -> Verdict:
        over = length - (self._limit - self._buffer)
        if over <= 0:
            return Verdict("scored", 1.0)
        value = max(0.0, 1.0 - over / self._buffer) if self._buffer else 0.0
        return Verdict("scored", value, detail=f"{length} {self._unit}")
