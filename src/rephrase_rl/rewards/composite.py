"""Rewards made of several verifiers where a weighted sum would pay for the wrong thing.

A sum pays a wrong answer for its good form. ``all_of`` pays for nothing less than everything,
``gated`` pays for the second only where the first is right, ``first_of`` serves data whose answers
are of several kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rephrase_rl.records import Verdict
from rephrase_rl.rewards.context import context_columns_of, verify_in_context
from rephrase_rl.rewards.protocol import Verifier, check_same_length
from rephrase_rl.rewards.settings import number_within, refuse


class _Several(ABC):
    """Verifiers used as one, which are closed with it."""

    default_name: ClassVar[str]

    def __init__(self, verifiers: Sequence[Verifier], name: str | None = None) -> None:
        """Args: the verifiers in order, at least two; and the name in metrics and records.

        Raises:
            VerifierError: There are fewer than two.
        """
        self.name = name or self.default_name
        if len(verifiers) < 2:
            refuse(self.name, [f"found {len(verifiers)} verifiers, required: at least 2"])
        self.context_columns = context_columns_of(verifiers)
        self._verifiers = tuple(verifiers)

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion; see the class.

        Raises:
            VerifierError: The two sequences differ in length.
        """
        return self.verify_in_context(completions, reference_answers, {})

    @abstractmethod
    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Judge each completion; every verifier gets the columns that it wants."""

    def close(self) -> None:
        """Close all of them."""
        for verifier in self._verifiers:
            verifier.close()


class AllOf(_Several):
    """The smallest value of several verifiers: 1 only if all give 1.

    A completion that one of them cannot judge cannot be judged: it gets that one's status.
    """

    default_name = "all_of"

    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Judge with all of them; each gets the columns that it wants."""
        check_same_length(completions, reference_answers)
        columns = [
            verify_in_context(verifier, completions, reference_answers, context)
            for verifier in self._verifiers
        ]
        return [self._smallest(verdicts) for verdicts in zip(*columns, strict=True)]

    def _smallest(self, verdicts: Sequence[Verdict]) -> Verdict:
        for verifier, verdict in zip(self._verifiers, verdicts, strict=True):
            if verdict.status != "scored":
                return Verdict(verdict.status, None, detail=f"{verifier.name}: {verdict.detail}")
        values = [verdict.reward for verdict in verdicts]
        lowest = values.index(min(values))
        return Verdict(
            "scored", values[lowest], verdicts[0].answer, f"lowest: {self._verifiers[lowest].name}"
        )


class Gated:
    """gate * (1 - share + share * then): the second counts only as far as the first is right.

    With share 0.2 a right answer in bad form gets 0.8, a wrong one 0 whatever its form. The second
    is asked only where the gate gives more than 0; one that cannot judge gives its status.
    """

    def __init__(
        self, gate: Verifier, then: Verifier, share: float = 0.2, name: str = "gated"
    ) -> None:
        """Set the two.

        Args:
            gate: Decides whether the answer is right; closed with this one.
            then: Judges what is worth something in right answers only; closed with this one.
            share: Part of the reward that is for ``then``, in [0, 1].
            name: Name in metrics and records.

        Raises:
            VerifierError: The share is out of range.
        """
        refuse(name, number_within("share", share, 0.0, 1.0))
        self.name = name
        self.context_columns = context_columns_of([gate, then])
        self._gate = gate
        self._then = then
        self._share = share

    def verify(self, completions: Sequence[str], reference_answers: Sequence[str]) -> list[Verdict]:
        """Judge each completion; see the class.

        Raises:
            VerifierError: The two sequences differ in length.
        """
        return self.verify_in_context(completions, reference_answers, {})

    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Judge with the gate, and what passes it with the second."""
        check_same_length(completions, reference_answers)
        verdicts = verify_in_context(self._gate, completions, reference_answers, context)
        passed = [i for i, verdict in enumerate(verdicts) if verdict.reward > 0.0]
        if not passed:
            return verdicts
        seconds = verify_in_context(
            self._then,
            [completions[i] for i in passed],
            [reference_answers[i] for i in passed],
            {name: [values[i] for i in passed] for name, values in context.items()},
        )
        for i, second in zip(passed, seconds, strict=True):
            verdicts[i] = self._joined(verdicts[i], second)
        return verdicts

    def close(self) -> None:
        """Close both."""
        self._gate.close()
        self._then.close()

    def _joined(self, first: Verdict, second: Verdict) -> Verdict:
        if second.status != "scored":
            return Verdict(second.status, None, first.answer, f"{self._then.name}: {second.detail}")
        value = first.reward * (1.0 - self._share + self._share * second.reward)
        return Verdict("scored", value, first.answer, f"{self._then.name}: {second.reward:g}")


class FirstOf(_Several):
    """The verdict of the first verifier that can read the reference answer.

    For data sets whose answers are of several kinds: numbers for one verifier, words for the next.
    A completion that an earlier one finds unscorable goes to the next; a time-out or an error is
    that verifier's verdict.
    """

    default_name = "first_of"

    def verify_in_context(
        self,
        completions: Sequence[str],
        reference_answers: Sequence[str],
        context: Mapping[str, Sequence[Any]],
    ) -> list[Verdict]:
        """Judge each completion with the first that can; each gets the columns that it wants."""
        check_same_length(completions, reference_answers)
        verdicts: dict[int, Verdict] = {}
        left = list(range(len(completions)))
        for verifier in self._verifiers:
            found = verify_in_context(
                verifier,
                [completions[i] for i in left],
                [reference_answers[i] for i in left],
                {name: [values[i] for i in left] for name, values in context.items()},
            )
            verdicts |= dict(zip(left, found, strict=True))
            left = [i for i in left if verdicts[i].status == "unscorable"]
            if not left:
                break
        return [verdicts[i] for i in range(len(completions))]
