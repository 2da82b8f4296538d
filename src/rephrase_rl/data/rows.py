"""One row to one Problem, or to the list of everything that is wrong with it."""

from __future__ import annotations

import datetime
import difflib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.gsm8k import parse_worked_answer
from rephrase_rl.records import JSON, Message, Problem

if TYPE_CHECKING:
    from rephrase_rl.data.mappings import ColumnMapping

_ROLES = ("system", "user", "assistant")
_TURN_KEYS = {"role", "content"}


class RowReader:
    """Reads the columns of one row and collects faults instead of stopping at the first."""

    def __init__(self, row_number: int, values: Mapping[str, Any], mapping: ColumnMapping) -> None:
        """Take one row.

        Args:
            row_number: Number of the row in its source, from 1.
            values: Column name to value.
            mapping: Which column means what.
        """
        self.row_number = row_number
        self.values = values
        self.mapping = mapping
        self.faults: list[str] = []

    def read(self, default_id: str) -> Problem | None:
        """Return the row's Problem, None if ``faults`` says why there is none.

        Args:
            default_id: Problem id where the row has none.
        """
        messages = self._messages()
        expert_solution, reference_answer = self._answers()
        problem_id = self._name(self.mapping.problem_id, default_id)
        task_kind = self._name(self.mapping.task_kind, self.mapping.default_task_kind)
        metadata = self._metadata()
        if self.faults:
            return None
        return Problem(
            problem_id=problem_id,
            messages=messages,
            reference_answer=reference_answer,
            expert_solution=expert_solution,
            task_kind=task_kind,
            metadata=metadata,
        )

    def _fault(self, column: str, found: str, remedy: str) -> None:
        self.faults.append(f"row {self.row_number}, column {column!r}: {found}; {remedy}")

    def _get(self, column: str) -> Any:
        """Value of a column; null and absent are the same, as a table cannot tell them apart."""
        return self.values.get(column)

    def _messages(self) -> tuple[Message, ...]:
        present = [column for column in self.mapping.question if self._get(column) is not None]
        wanted = " or ".join(repr(column) for column in self.mapping.question)
        if not present:
            columns = ", ".join(sorted(self.values)) or "none"
            self._fault(
                self.mapping.question[0],
                f"no question (the row's columns: {columns})",
                f"fill {wanted}, or choose the mapping that fits",
            )
            return ()
        if len(present) > 1:
            self._fault(present[1], f"{wanted} are both filled", "fill one of them")
        column, question = present[0], self._get(present[0])
        if isinstance(question, str):
            if not question.strip():
                self._fault(column, "an empty question", "write the question or remove the row")
            return ({"role": "user", "content": question},)
        if isinstance(question, list | tuple) and question:
            return self._turns(column, question)
        self._fault(
            column, _found(question), "give a string or a list of {'role', 'content'} turns"
        )
        return ()

    def _turns(self, column: str, turns: list[Any] | tuple[Any, ...]) -> tuple[Message, ...]:
        for index, turn in enumerate(turns):
            where = f"turn {index}"
            if not isinstance(turn, Mapping):
                self._fault(column, f"{where} is {_found(turn)}", "give {'role', 'content'}")
                continue
            role, content = turn.get("role"), turn.get("content")
            if role not in _ROLES:
                self._fault(column, f"{where} has role {role!r}", f"use {', '.join(_ROLES)}")
            if not isinstance(content, str) or not content.strip():
                self._fault(
                    column, f"{where} has content {_found(content)}", "give text that is not empty"
                )
            # Arrow fills keys that only other rows have with null.
            extra = sorted(k for k in turn if k not in _TURN_KEYS and turn[k] is not None)
            if extra:
                self._fault(
                    column,
                    f"{where} has {', '.join(extra)}",
                    "remove them: only role and content reach the model (no tools, no images)",
                )
        last = turns[-1]
        if isinstance(last, Mapping) and last.get("role") in ("system", "assistant"):
            self._fault(column, f"the last turn is the {last['role']}'s", "end with the user")
        return tuple(
            {"role": turn.get("role", ""), "content": turn.get("content", "")}
            for turn in turns
            if isinstance(turn, Mapping)
        )

    def _answers(self) -> tuple[str | None, str]:
        """Expert's text and checkable answer."""
        worked_column = self.mapping.worked_answer
        if worked_column is not None:
            return self._worked_answer(worked_column)
        return self._expert_solution(), self._reference_answer()

    def _worked_answer(self, column: str) -> tuple[str | None, str]:
        text = self._get(column)
        remedy = "end the worked answer with a line '#### N', N a number"
        if not isinstance(text, str):
            self._fault(column, _found(text), remedy)
            return None, ""
        try:
            return parse_worked_answer(text)
        except ValueError as error:
            self._fault(column, str(error), remedy)
            return None, ""

    def _reference_answer(self) -> str:
        column = self.mapping.reference_answer
        if column is None:
            self._fault(
                "reference_answer",
                f"mapping {self.mapping.name!r} names no column for it",
                "name one in reference_answer or worked_answer",
            )
            return ""
        answer = self._get(column)
        is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
        if is_number and math.isfinite(answer):
            return str(answer)
        if isinstance(answer, str) and answer.strip():
            return answer
        found = _found(answer)
        if column not in self.values:
            found = (
                f"no such column (the row's columns: {', '.join(sorted(self.values)) or 'none'})"
            )
        self._fault(column, found, "give the checkable answer as text or as a number")
        return ""

    def _expert_solution(self) -> str | None:
        column = self.mapping.expert_solution
        text = None if column is None else self._get(column)
        if text is None or (isinstance(text, str) and text.strip()):
            return text
        self._fault(
            str(column), _found(text), "give the expert's text, or null where there is none"
        )
        return None

    def _name(self, column: str, default: str) -> str:
        """A short text that identifies something: a problem or a task kind."""
        value = self._get(column)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value.strip():
            return value
        self._fault(column, _found(value), "give text or a whole number, or leave the column out")
        return default

    def _metadata(self) -> dict[str, JSON]:
        """The metadata column and every column that the mapping does not name."""
        column = self.mapping.metadata
        given = self._get(column)
        metadata: dict[str, JSON] = {}
        if isinstance(given, Mapping):
            metadata = {str(key): self._plain(column, value) for key, value in given.items()}
        elif given is not None:
            self._fault(column, _found(given), "give a mapping, or leave the column out")
        named = self.mapping.columns()
        for other in self.values:
            if other in named:
                continue
            self._refuse_typo(other, named)
            if other in metadata:
                self._fault(other, f"the same key stands in {column!r}", "rename one of the two")
            metadata[other] = self._plain(other, self._get(other))
        return metadata

    def _refuse_typo(self, column: str, named: tuple[str, ...]) -> None:
        """A mistyped expert column would turn RePO into GRPO without a word."""
        missing = [name for name in named if name not in self.values]
        close = difflib.get_close_matches(column, missing, n=1, cutoff=0.9)
        if close:
            self._fault(column, f"unknown, and {close[0]!r} is missing", "rename one of the two")

    def _plain(self, column: str, value: Any) -> JSON:
        """``value`` as JSON data, for records and the fingerprint."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, list | tuple):
            return [self._plain(column, item) for item in value]
        if isinstance(value, Mapping):
            return {str(key): self._plain(column, item) for key, item in value.items()}
        self._fault(
            column, f"{_found(value)} cannot be stored as JSON", "remove the column or make it text"
        )
        return None


def _found(value: object) -> str:
    """Describe a value that is not as it should be."""
    if value is None:
        return "nothing"
    if isinstance(value, str) and not value.strip():
        return "empty text"
    shown = repr(value)
    return f"{type(value).__name__} {shown[:60]}{'...' if len(shown) > 60 else ''}"
