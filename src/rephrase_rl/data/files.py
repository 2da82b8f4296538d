"""Rows of single files. Line formats and Parquet are read piece by piece, JSON arrays whole.

What cannot be read at all (a broken line of JSON) comes out as a row with a fault, so that it is
reported together with everything else. ``pyarrow`` is imported when needed.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from rephrase_rl.data.faults import RowFault
from rephrase_rl.data.raw_rows import RawRow
from rephrase_rl.data.tables import TableFormat, table_rows
from rephrase_rl.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_LINE_SUFFIXES = (".jsonl", ".jsonl.gz")
_TABLE_DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
FILE_SUFFIXES = (*_LINE_SUFFIXES, ".json", ".json.gz", *_TABLE_DELIMITERS, ".parquet")

KEY_COLUMN = "key"
"""Column that gets a row's name in a JSON object of the form {name: row, ...}."""

PARQUET_BATCH_ROWS = 64
MAX_LINE_CHARS = 2**26
"""As for a cell of a table; the longest known reasoning traces have under 2**20 characters."""
MAX_JSON_CHARS = 2**30
"""A JSON array is read whole."""
_BUFFER_BYTES = 2**20
_BLANKS = re.compile(r"[ \t\r\n]*")


def file_rows(path: Path, table: TableFormat) -> Iterator[RawRow]:
    """Rows of one file, by its suffix.

    Raises:
        DataError: The suffix is unknown, or the file cannot be read.
    """
    suffix = file_suffix(path.name)
    if suffix == ".parquet":
        return _parquet_rows(path)
    if suffix in _TABLE_DELIMITERS:
        return _text_rows(path, table, _TABLE_DELIMITERS[suffix])
    if suffix is not None:
        return _text_rows(path, table, None)
    raise DataError(
        f"found file {str(path)!r}, whose ending names no format that is read; required: one of "
        f"{', '.join(FILE_SUFFIXES)}; do this: rename the file by what it holds, or convert it"
    )


def file_suffix(name: str) -> str | None:
    """The suffix that says how a file is read; None if it is none of ours."""
    fitting = [suffix for suffix in FILE_SUFFIXES if name.endswith(suffix)]
    return max(fitting, key=len, default=None)


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # With a buffer, column chunks are read piece by piece instead of as a whole row group.
        file = parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        batches = file.iter_batches(batch_size=PARQUET_BATCH_ROWS)
        records = (row for batch in batches for row in batch.to_pylist())
        yield from (RawRow(number, row) for number, row in enumerate(records, start=1))
    # A date beyond Python's is an OverflowError or a ValueError, as is a text that is no UTF-8.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet ({error}); required: a whole Parquet file; do this: "
            "fetch or write it again, or rename it if it holds something else"
        ) from error


def _text_rows(path: Path, table: TableFormat, delimiter: str | None) -> Iterator[RawRow]:
    try:
        with _open_text(path) as file:
            if delimiter is not None:
                yield from table_rows(file, str(path), table, delimiter)
            elif path.name.endswith(_LINE_SUFFIXES):
                yield from _line_rows(_bounded_lines(file, path))
            else:
                text = file.read(MAX_JSON_CHARS + 1)
                if len(text) > MAX_JSON_CHARS:
                    raise _too_long(path, "the file", MAX_JSON_CHARS, "write it as JSON lines")
                yield from _json_rows(path, text)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} cannot be read as UTF-8 text ({_not_utf8(path, error)}); required: UTF-8; do "
            "this: correct that line, or convert the whole file if all of it is in another "
            "encoding (iconv -f WINDOWS-1252 -t UTF-8, or in Excel save as 'CSV UTF-8')"
        ) from error
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"{path} cannot be read as UTF-8 text ({error}); required: UTF-8, packed by gzip if "
            "the name ends in .gz; do this: convert it (iconv -f LATIN1 -t UTF-8, for instance), "
            "or fetch it again if it is cut off"
        ) from error


def _not_utf8(path: Path, error: UnicodeDecodeError) -> str:
    """The first line that is not UTF-8; the error itself counts from the start of its buffer."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
            while line := file.readline(MAX_LINE_CHARS):
                number += 1
                line.decode()
    except UnicodeDecodeError as found:
        return f"line {number}: byte 0x{found.object[found.start]:02x} after {found.start} others"
    except (EOFError, zlib.error, OSError):  # cut off before the place is reached
        pass
    return str(error)


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    # utf-8-sig: a byte order mark at the start is no part of the data. newline="": cells of CSV
    # keep the newlines that they have.
    if path.name.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    else:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file


def _bounded_lines(file: IO[str], path: Path) -> Iterator[str]:
    """Lines of a file, none of which can take all memory: a small packed file may hold a huge one.

    Raises:
        DataError: A line is too long.
    """
    while line := file.readline(MAX_LINE_CHARS + 1):
        if len(line) > MAX_LINE_CHARS:
            raise _too_long(path, "a line", MAX_LINE_CHARS, "split or remove it")
        yield line


def _too_long(path: Path, what: str, limit: int, remedy: str) -> DataError:
    return DataError(
        f"{path}: found {what} of more than {limit:,} characters; required: at most so many; do "
        f"this: {remedy}"
    )


def _line_rows(lines: Iterable[str]) -> Iterator[RawRow]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _line_row(number, line)


def _json_rows(path: Path, text: str) -> Iterator[RawRow]:
    """Rows of a JSON array, of an object of rows, or of one object per line."""
    start = _BLANKS.match(text)
    begin = start.end() if start else 0
    if text.startswith("[", begin):
        yield from _array_rows(path, text)
        return
    whole = _whole_object(text, begin)
    if whole is None:
        yield from _line_rows(text.split("\n"))
    elif whole and all(isinstance(item, dict) for item in whole.values()):
        for number, (key, item) in enumerate(whole.items(), start=1):
            yield _keyed_row(number, key, item)
    else:
        yield RawRow(1, whole)


def _whole_object(text: str, begin: int) -> dict[str, Any] | None:
    """The one JSON object that the text consists of, None if it is something else."""
    try:
        value, end = json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None
    blanks = _BLANKS.match(text, end)
    if blanks is None or blanks.end() < len(text) or not isinstance(value, dict):
        return None
    return value


def _keyed_row(number: int, key: str, item: dict[str, Any]) -> RawRow:
    if KEY_COLUMN not in item:
        return RawRow(number, {KEY_COLUMN: key, **item})
    fault = RowFault(
        number,
        f"row {key!r}",
        f"found a column {KEY_COLUMN!r}, which is where the row's name goes",
        "rename the column",
    )
    return RawRow(number, None, fault)


def _array_rows(path: Path, text: str) -> Iterator[RawRow]:
    try:
        items = json.loads(text)
    # A number of too many digits is a plain ValueError.
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is no valid JSON ({error}); required: a whole list of objects; do this: "
            "correct that place, or write one object a line"
        ) from error
    for number, item in enumerate(items, start=1):
        yield _object_row(number, item)


def _line_row(number: int, line: str) -> RawRow:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        fault = RowFault(
            number, "whole line", f"no valid JSON ({error})", "correct or remove the line"
        )
        return RawRow(number, None, fault)
    return _object_row(number, item)


def _object_row(number: int, item: object) -> RawRow:
    if isinstance(item, dict):
        return RawRow(number, item)
    fault = RowFault(
        number,
        "whole row",
        f"found {type(item).__name__}",
        "give a JSON object with columns",
    )
    return RawRow(number, None, fault)
