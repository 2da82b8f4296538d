"""Verifier for tasks whose answer is a string after a marker, such as the lab's ``#291``.

Pure string work: nothing to start, nothing to time out. Imported by the registry.
"""

from __future__ import annotations

from collections.abc import Sequence

from rephrase_rl.errors import VerifierError
from rephrase_rl.records import Verdict
from rephrase_rl.rewards.protocol import check_same_length


class ExactVerifier:
    """Scores 1 if the text after the last marker equals the reference answer, 0 otherwise.

    Both sides are stripped of surrounding white space; nothing else is normalised. A completion
    without the marker has no answer and scores 0. An empty reference answer is unscorable.

    Example:
        >>> ExactVerifier().verify(["7+5=2#2", "2"], ["2", "2"])[0].value
        1.0
    """

    def __init__(self, answer_marker: str = "#", name: str = "exact") -> None:
        """Set the marker.

        Args:
            answer_marker: Text that precedes the answer; ``"####"`` for GSM8K's own format.
            name: Name in metrics and records.

        Raises:
            VerifierError: The marker is empty.
        """
        if not answer_marker:
            raise VerifierError(
                "found an empty answer_marker; required: the text before the answer; write one, "
                "such as '#'"
            )
        self.name = name
        self.answer_marker = answer_marker

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion; see the class.

        Raises:
            VerifierError: The two sequences differ in length.
        """
        check_same_length(completions, reference_answers)
        return [
            self._judge(completion, reference)
            for completion, reference in zip(completions, reference_answers, strict=True)
        ]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _judge(self, completion: str, reference_answer: str) -> Verdict:
        reference = reference_answer.strip()
        if not reference:
            return Verdict("unscorable", None, detail="the reference answer is empty")
        _, marker, tail = completion.rpartition(self.answer_marker)
        if not marker:
            return Verdict("scored", 0.0, detail=f"no {self.answer_marker!r} in the completion")
        answer = tail.strip()
        if answer == reference:
            return Verdict("scored", 1.0, answer)
        return Verdict("scored", 0.0, answer, f"differs from {reference!r}")
