"""Columns that were asked for by name and that no row has: a misspelt name, told as a fault."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.columns import has_place, value_at
from rephrase_rl.data.faults import BadRow, RowFault

if TYPE_CHECKING:
    from rephrase_rl.records import Problem


class SoughtColumns:
    """Places that some row has to have, less those that were seen."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Args: places as a mapping names them."""
        self._left = list(dict.fromkeys(paths))
        self._names: dict[str, None] = {}
        self._rows = 0

    def see(self, values: Mapping[str, Any]) -> None:
        """Take in one row."""
        if not self._left:
            return
        self._rows += 1
        self._names.update(dict.fromkeys(map(str, values)))
        self._left = [path for path in self._left if not _is_there(values, path)]

    def told_by_the_last(self, items: Iterable[Problem | BadRow]) -> Iterator[Problem | BadRow]:
        """The same items; where a column was in no row, the last one is a BadRow that says so.

        That a column is in no row is known behind the last one, and a report counts items as rows.
        """
        held: Problem | BadRow | None = None
        for item in items:
            if held is not None:
                yield held
            held = item
        if held is not None:
            yield self._told(held)

    def _told(self, last: Problem | BadRow) -> Problem | BadRow:
        if not self._left or not self._rows:
            return last
        earlier = last.faults if isinstance(last, BadRow) else ()
        return BadRow(self._rows, (*earlier, *map(self._fault, self._left)))

    def _fault(self, path: str) -> RowFault:
        close = difflib.get_close_matches(path, list(self._names), n=1, cutoff=0.6)
        columns = ", ".join(self._names) or "none"
        meant = f"did you mean {close[0]!r}? " if close else ""
        return RowFault(
            self._rows,
            f"column {path!r} of the mapping",
            f"in none of {self._rows} rows, whose columns are {columns}",
            f"{meant}name a column that is there, or leave it out of the mapping",
        )


def _is_there(values: Mapping[str, Any], path: str) -> bool:
    return has_place(values, path) or value_at(values, path) is not None
