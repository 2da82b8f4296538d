"""Which column plays which part of a problem, by its name and by what stands in it.

A guess, made once when a configuration is written, which says why; reading data never guesses.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rephrase_rl.data.columns import value_at

ROLES = (
    "question",
    "context",
    "options",
    "reference_answer",
    "expert_solution",
    "unit",
    "problem_id",
)
"""Parts that a column can play; fields of the same name in a mapping."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "question": (
        "question", "problem", "query", "prompt", "instruction", "exercise", "task", "input",
        "messages", "text",
    ),
    "context": ("context", "contexts", "passage", "paragraphs", "background", "table"),
    "options": ("options", "choices", "alternatives"),
    "reference_answer": (
        "reference_answer", "final_answer", "ground_truth", "correct_answer", "gold_answer",
        "correct_option", "answer", "gold", "target", "label", "correct", "result", "expected",
        "solution", "output",
    ),
    "expert_solution": (
        "expert_solution", "worked_solution", "expert", "solution", "rationale", "explanation",
        "reasoning", "chain_of_thought", "cot", "derivation", "steps", "teacher",
        "demonstration", "proof", "response", "generation", "completion", "working", "output",
        "answer",
    ),
    "unit": ("unit", "units", "scale"),
    "problem_id": ("problem_id", "question_id", "uuid", "uid", "id", "qid", "key"),
}  # fmt: skip
"""Part -> column names that are taken for it, the likeliest first."""

MOSTLY = 0.9
"""Share of rows from which on a property is taken for the data's own."""
SHORT_CHARACTERS = 40
"""A checkable answer is at most so long, by the median of a column; a worked text is longer."""

_WORKED_END = re.compile(r"(?:^|\n)####[^\n]*\s*\Z")
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def column_paths(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns of the rows in order, and one level of what stands in nested ones."""
    found: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, Mapping):
                found |= dict.fromkeys(f"{name}.{inner}" for inner in value)
            found[str(name)] = None
    return list(found)


class Columns:
    """The columns of some rows, and what can be said of each."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.paths = column_paths(rows)
        self._rows = rows
        self._values: dict[str, list[Any]] = {}

    def values(self, path: str) -> list[Any]:
        """What stands in a column, without nulls."""
        if path not in self._values:
            found = [value_at(row, path) for row in self._rows]
            self._values[path] = [value for value in found if value is not None]
        return self._values[path]

    def filled(self, path: str) -> list[Any]:
        """The same without blank texts, which are faults or absent texts and say nothing more."""
        return [v for v in self.values(path) if not (isinstance(v, str) and not v.strip())]

    def named(self, role: str) -> list[str]:
        """Columns whose names fit a part: equal names first, then names with such a word."""
        words = NAMES[role]
        plain = {path: _plain(path.rpartition(".")[2]) for path in self.paths}
        equal = [path for word in words for path, name in plain.items() if name == word]
        holding = [
            path for word in words for path, name in plain.items() if word in name.split("_")
        ]
        return [path for path in dict.fromkeys([*equal, *holding]) if self.values(path)]

    def is_short(self, path: str) -> bool:
        """Whether a column could hold checkable answers: numbers or short texts."""
        return self.is_text(path) and self.length(path) <= SHORT_CHARACTERS

    def length(self, path: str) -> float:
        """Median of the characters in a column that is not empty."""
        return statistics.median(len(str(value)) for value in self.filled(path) or [""])

    def is_text(self, path: str) -> bool:
        """Whether a column holds texts, or numbers."""
        return bool(self.values(path)) and all(_is_scalar(v) for v in self.values(path))

    def is_lines(self, path: str) -> bool:
        """Whether a column holds lists of texts."""
        values = self.values(path)
        return bool(values) and all(
            isinstance(value, list | tuple) and value and all(isinstance(x, str) for x in value)
            for value in values
        )

    def is_options(self, path: str) -> bool:
        """Whether a column holds lists, or mappings from label to text."""
        values = self.values(path)
        return bool(values) and all(isinstance(v, list | tuple | Mapping) for v in values)

    def is_question(self, path: str) -> bool:
        """Whether a column holds texts, or conversations."""
        values = self.values(path)
        turns = all(
            isinstance(value, list | tuple) and value and isinstance(value[0], Mapping)
            for value in values
        )
        return bool(values) and (turns or all(isinstance(value, str) for value in values))

    def is_worked(self, path: str) -> bool:
        """Whether most texts end with GSM8K's line ``#### N``."""
        values = self.filled(path)
        ending = [isinstance(v, str) and _WORKED_END.search(v) is not None for v in values]
        return sum(ending) >= MOSTLY * len(ending) > 0

    def share_with(self, path: str, part: str) -> float:
        """Share of a column's texts that hold a part, blank ones aside."""
        values = self.filled(path)
        return sum(part in str(value) for value in values) / len(values) if values else 0.0


def _plain(name: str) -> str:
    """A name in lower case, its words joined by ``_``: ``Model Answer`` is ``model_answer``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return _SEPARATORS.sub("_", spaced.lower()).strip("_")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
