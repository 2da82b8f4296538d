"""CSV and TSV files, record by record; a record that cannot be used comes out with its fault."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from rephrase_rl.data.faults import RowFault
from rephrase_rl.data.raw_rows import RawRow
from rephrase_rl.errors import DataError

MAX_CELL_CHARS = 2**26
"""An expert's long reasoning exceeds the csv module's own limit of 131,072 characters; a quote that
is never closed must still not take the whole file into memory."""

_ESCAPE = re.compile(r"\\([ntr\\])")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class TableFormat:
    """How a CSV or TSV file is written."""

    header: tuple[str, ...] | None = None
    """Column names of a file that has none of its own. None: the first record holds them."""
    delimiter: str | None = None
    """Character between cells. None: a comma, in ``.tsv`` files a tab."""
    quoted: bool = True
    """Whether ``"`` encloses cells that hold delimiters, quotes or newlines."""
    escapes: bool = False
    r"""Whether cells write a newline as ``\n``, a tab as ``\t``, a backslash as ``\\``. Any other
    backslash stays as it is."""

    def faults(self) -> list[str]:
        """What cannot be so, in words."""
        found = []
        if self.header is not None and (
            not all(self.header) or len(set(self.header)) < len(self.header)
        ):
            found.append(f"table.header is {list(self.header)}; give every column its own name")
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or self.delimiter in '"\r\n' or not self.delimiter.isascii()
        ):
            found.append(
                f"table.delimiter is {self.delimiter!r}; give one character, no quote, no newline"
            )
        return found


PLAIN_TABLE = TableFormat()
"""Cells in quotes where needed, column names in the first record."""


def table_rows(file: IO[str], path: str, table: TableFormat, delimiter: str) -> Iterator[RawRow]:
    """Rows of an open CSV or TSV file, numbered from 1 without the header; an empty cell is null.

    Args:
        file: Opened with ``newline=""``.
        path: For messages.
        table: How the file is written.
        delimiter: Where ``table`` names none.

    Raises:
        DataError: The header is not usable.
    """
    csv.field_size_limit(MAX_CELL_CHARS)
    reader = csv.reader(
        file,
        delimiter=table.delimiter or delimiter,
        quoting=csv.QUOTE_MINIMAL if table.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    header: Sequence[str] | None = table.header
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if header is None:
                raise DataError(
                    f"{path} has no readable first line ({error}); required: the names of the "
                    "columns; do this: correct its quotes, or set table.quoted to false if quotes "
                    "are part of the text"
                ) from error
            number += 1
            yield RawRow(number, None, _unreadable(number, reader.line_num, error))
            continue
        if header is None:
            header = _checked_header(cells, path)
            if table.delimiter is None:
                _refuse_other_delimiter(header, path)
            continue
        number += 1
        if cells:
            yield _row(number, cells, header, table)


def _checked_header(cells: list[str], path: str) -> list[str]:
    repeated = sorted({name for name in cells if cells.count(name) > 1})
    if not cells or not all(cell.strip() for cell in cells) or repeated:
        raise DataError(
            f"{path}: found the header {cells}; required: a name for every column, each once; do "
            "this: correct the first line, or name the columns in the mapping's table.header if "
            "the file has no header"
        )
    return cells


def _refuse_other_delimiter(header: Sequence[str], path: str) -> None:
    """Refuse one column whose name is several: no problem fits into a single column."""
    other = next((mark for mark in ";\t|" if mark in header[0]), None)
    if len(header) == 1 and other is not None:
        raise DataError(
            f"{path}: found one column, {header[0]!r}; required: a question and an answer in "
            f"columns of their own; do this: say that cells are separated by {other!r}, as "
            f"table: {{delimiter: {other!r}}} in the mapping; `rephrase-rl init` writes it"
        )


def _row(number: int, cells: list[str], header: Sequence[str], table: TableFormat) -> RawRow:
    if len(cells) != len(header):
        fault = RowFault(
            number,
            "whole row",
            f"found {len(cells)} cell(s), and there are {len(header)} columns",
            "give every column a cell; enclose cells that hold the delimiter in quotes",
        )
        return RawRow(number, None, fault)
    values: dict[str, Any] = {
        name: (_unescaped(cell) if table.escapes else cell) or None
        for name, cell in zip(header, cells, strict=True)
    }
    return RawRow(number, values)


def _unescaped(cell: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED[match.group(1)], cell)


def _unreadable(number: int, line: int, error: csv.Error) -> RowFault:
    return RowFault(
        number,
        f"up to line {line}",
        f"no valid record ({error})",
        "correct the quotes, or set table.quoted to false if quotes are part of the text",
    )
