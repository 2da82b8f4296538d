"""Whether training data holds evaluation questions: runs of words in common, and whole questions.

Source of the measure: 13 words in a row, as in GPT-3's data (arXiv:2005.14165, appendix C).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.data.choices import OPTIONS_KEY, without_options
from rephrase_rl.errors import DataError

if TYPE_CHECKING:
    from rephrase_rl.records import Problem

DEFAULT_WORDS = 13
MAX_EXAMPLES = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """One training problem that shares words with an evaluation question."""

    training_id: str
    evaluation_id: str
    where: str
    """``question`` or ``expert``: the training text that holds the words."""
    words: str
    """The shared words, in lower case."""


@dataclass(frozen=True, slots=True)
class ContaminationReport:
    """What a training set shares with one evaluation set."""

    name: str
    num_words: int
    """Length of the runs that are compared."""
    evaluation_problems: int
    touched_evaluation_problems: int
    """Evaluation problems of which a run of words occurs in the training data."""
    touched_training_problems: int
    equal_questions: int
    """Training problems whose question is an evaluation question, word by word."""
    examples: tuple[Overlap, ...]
    """The first of each pair, up to five."""


@dataclass(frozen=True, slots=True)
class ProblemWords:
    """The words of one problem, in the form in which they are compared."""

    problem_id: str
    question: tuple[str, ...]
    stem: tuple[str, ...]
    """The question without a list of options, whose letters and numbers many questions share."""
    expert: tuple[str, ...]

    @classmethod
    def of(cls, problem: Problem) -> ProblemWords:
        """The words of a problem."""
        stem = without_options(problem.question, problem.metadata.get(OPTIONS_KEY))
        texts = (problem.question, stem, problem.expert_solution or "")
        question, stem_words, expert = map(words_of, texts)
        return cls(problem.problem_id, question, stem_words, expert)


class EvaluationIndex:
    """Hashes of all runs of words of an evaluation set's questions.

    A question shorter than a run counts as a whole: it is found where a training question equals
    it. Upper case, punctuation and Unicode forms make no difference.
    """

    def __init__(self, name: str, num_words: int = DEFAULT_WORDS) -> None:
        """Start empty.

        Args:
            name: Of the evaluation set, for the report.
            num_words: Length of the runs; shorter ones find more, and more that is chance.

        Raises:
            DataError: ``num_words`` is below 1.
        """
        if num_words < 1:
            raise DataError(f"found runs of {num_words} words; required: at least 1")
        self.name = name
        self.num_words = num_words
        self._ids: list[str] = []
        self._runs: dict[int, tuple[int, ...]] = {}
        self._wholes: dict[int, tuple[int, ...]] = {}
        self._touched: set[int] = set()
        self._touched_training = 0
        self._equal = 0
        self._examples: list[Overlap] = []

    def add(self, problem: Problem) -> None:
        """Take in one evaluation problem."""
        index = len(self._ids)
        self._ids.append(problem.problem_id)
        words = ProblemWords.of(problem)
        _note(self._wholes, hash(words.question), index)
        for _, run in _runs(words.stem, self.num_words):
            _note(self._runs, run, index)

    def compare(self, words: ProblemWords) -> None:
        """Look up one training problem."""
        found: dict[int, tuple[str, Sequence[str]]] = {}
        wholes = self._wholes.get(hash(words.question), ()) if words.question else ()
        self._equal += bool(wholes)
        for index in wholes:
            found[index] = ("question", words.question[: self.num_words])
        for where, text in (("question", words.stem), ("expert", words.expert)):
            for start, run in _runs(text, self.num_words):
                for index in self._runs.get(run, ()):
                    found.setdefault(index, (where, text[start : start + self.num_words]))
        if not found:
            return
        self._touched_training += 1
        self._touched.update(found)
        index, (where, shared) = next(iter(found.items()))
        if len(self._examples) < MAX_EXAMPLES:
            self._examples.append(
                Overlap(words.problem_id, self._ids[index], where, " ".join(shared))
            )

    def report(self) -> ContaminationReport:
        """What was found so far."""
        return ContaminationReport(
            self.name,
            self.num_words,
            len(self._ids),
            len(self._touched),
            self._touched_training,
            self._equal,
            tuple(self._examples),
        )


def _note(index_of: dict[int, tuple[int, ...]], key: int, index: int) -> None:
    known = index_of.get(key, ())
    if index not in known[-1:]:
        index_of[key] = (*known, index)


def words_of(text: str) -> tuple[str, ...]:
    """Words and numbers of a text, in lower case and one Unicode form."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _runs(words: tuple[str, ...], length: int) -> Iterator[tuple[int, int]]:
    """Start and hash of every run of words."""
    for start in range(len(words) - length + 1):
        yield start, hash(words[start : start + length])
