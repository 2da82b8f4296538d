"""Questions that repeat an earlier one, and those of them that give another answer."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rephrase_rl.records import Problem

MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """Problems whose question occurred before, and of these the ones with another answer."""

    repeated: int
    conflicting: int
    repeated_examples: tuple[tuple[str, str], ...]
    """(id, id of the first problem with that question), up to five."""
    conflicting_examples: tuple[tuple[str, str], ...]


class DuplicateFinder:
    """Compares questions without regard to case, blanks and Unicode forms; keeps hashes only."""

    def __init__(self) -> None:
        self._first: dict[bytes, tuple[str, bytes]] = {}
        self._repeated = 0
        self._conflicting = 0
        self._repeated_examples: list[tuple[str, str]] = []
        self._conflicting_examples: list[tuple[str, str]] = []

    def add(self, problem: Problem) -> None:
        """Take in one problem."""
        question = "\n".join(
            turn["content"] for turn in problem.messages if turn["role"] != "system"
        )
        answer = _digest(problem.reference_answer)
        first_id, first_answer = self._first.setdefault(
            _digest(question), (problem.problem_id, answer)
        )
        if first_id == problem.problem_id:
            return
        pair = (problem.problem_id, first_id)
        self._repeated += 1
        self._repeated_examples += [pair] if len(self._repeated_examples) < MAX_EXAMPLES else []
        if answer != first_answer:
            self._conflicting += 1
            if len(self._conflicting_examples) < MAX_EXAMPLES:
                self._conflicting_examples.append(pair)

    def report(self) -> DuplicateReport:
        """What was found so far."""
        return DuplicateReport(
            self._repeated,
            self._conflicting,
            tuple(self._repeated_examples),
            tuple(self._conflicting_examples),
        )


def _digest(text: str) -> bytes:
    normalised = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(normalised.encode(), digest_size=16).digest()
