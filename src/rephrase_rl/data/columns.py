"""The values of one row by path, and the faults found in them so far."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rephrase_rl.data.faults import RowFault, found_text

_INDEX = re.compile(r"-?[0-9]{1,9}")


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """The value at a path: a column, or steps into nested columns with dots between them.

    A column whose own name has dots comes first. A number steps into a list; -1 is its last item.
    What is not there is None, as a table cannot tell absent from null.

    Example:
        >>> row = {"reward_model": {"ground_truth": "5"}, "target": [{"content": "k"}]}
        >>> value_at(row, "reward_model.ground_truth"), value_at(row, "target.0.content")
        ('5', 'k')
    """
    if path in values:
        return values[path]
    here: Any = values
    for step in path.split("."):
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list | tuple) and _INDEX.fullmatch(step):
            index = int(step)
            here = here[index] if -len(here) <= index < len(here) else None
        else:
            return None
    return here


def has_place(values: Mapping[str, Any], path: str) -> bool:
    """Whether a row has a column, or the place inside one that a path leads to; null counts.

    Example:
        >>> has_place({"qa": {"answer": None}}, "qa.answer"), has_place({"qa": {}}, "qa.answer")
        (True, False)
    """
    if path in values:
        return True
    parent, dot, last = path.rpartition(".")
    here = value_at(values, parent) if dot else None
    return isinstance(here, Mapping) and last in here


def without_paths(value: Any, paths: Sequence[str]) -> Any:
    """A copy of a nested value without what paths (relative to it) lead to; None if none is left.

    A list that a path leads into is left out as a whole.
    """
    if not isinstance(value, Mapping):
        return None
    rest: dict[str, Any] = {}
    for key, item in value.items():
        inner = [path.partition(".")[2] for path in paths if path.partition(".")[0] == str(key)]
        kept = item if not inner else None if "" in inner else without_paths(item, inner)
        if kept is not None:
            rest[str(key)] = kept
    return rest or None


class Row:
    """One row while it is read: its values, and its faults instead of a stop at the first."""

    def __init__(self, number: int, values: Mapping[str, Any]) -> None:
        """Args: number of the row in its source, from 1; column name to value."""
        self.number = number
        self.values = values
        self.faults: list[RowFault] = []

    @property
    def column_names(self) -> str:
        """Names of the row's columns, for messages."""
        return ", ".join(sorted(map(str, self.values))) or "none"

    def get(self, path: str | None) -> Any:
        """The value at a path; None where it, or the path, is not there."""
        return None if path is None else value_at(self.values, path)

    def fault(self, column: str, found: str, remedy: str, about: str = "") -> None:
        """Note that a column is not as it has to be."""
        self.faults.append(RowFault(self.number, f"column {column!r}", found, remedy, about))

    def writable(self, column: str, text: str, about: str = "") -> str:
        """``text``, after noting a fault if it cannot be written as UTF-8."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            self.fault(
                column,
                f"half of a surrogate pair at character {error.start}",
                "write the text again as UTF-8",
                about,
            )
        return text

    def name(self, column: str, default: str, about: str) -> str:
        """A short text that identifies something: a problem or a task kind."""
        value = self.get(column)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value.strip():
            return self.writable(column, value, about)
        self.fault(
            column,
            found_text(value),
            "give text or a whole number, or leave the column out",
            about,
        )
        return default
