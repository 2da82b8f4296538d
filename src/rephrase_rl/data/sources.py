"""Rows from files and Hugging Face data sets, one after the other, with their numbers.

What cannot be read at all (a broken line of JSON) comes out as a row with a fault, so that it is
reported together with everything else. ``datasets`` and ``pyarrow`` are imported when needed.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rephrase_rl.data.faults import bad_rows
from rephrase_rl.errors import DataError

FILE_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in its source."""

    number: int
    """From 1; in files with one object per line it is the line number."""
    values: dict[str, Any] | None
    """None if the row could not be read."""
    fault: str = ""
    """Why not."""


def read_rows(
    path: str | Path,
    *,
    split: str = "train",
    config_name: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, columns) of a file or a Hugging Face data set.

    Args:
        path: A .jsonl, .json, .jsonl.gz, .json.gz or .parquet file; a folder written by
            ``save_to_disk`` or holding data files; or an id of the Hugging Face hub.
        split: Split of a data set; files have none and take no notice.
        config_name: Configuration of a data set, such as ``main`` of ``openai/gsm8k``.
        revision: Commit or tag of a data set on the hub.
        limit: Read so many rows from the start. None: all.

    Raises:
        DataError: The source cannot be found or read; after the last row, if rows were unreadable.
    """
    faults = []
    for row in scan_rows(
        path, split=split, config_name=config_name, revision=revision, limit=limit
    ):
        if row.values is None:
            faults.append(row.fault)
        else:
            yield row.number, row.values
    if faults:
        raise bad_rows(faults, str(path))


def scan_rows(
    path: str | Path,
    *,
    split: str = "train",
    config_name: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> Iterator[RawRow]:
    """Like ``read_rows``, but an unreadable row is yielded with its fault.

    Raises:
        DataError: The source cannot be found or read, or ``limit`` is below 1.
    """
    if limit is not None and limit < 1:
        raise DataError(f"found limit={limit}; required: at least 1, or None for all rows")
    local = Path(path).expanduser()
    if local.is_file():
        rows = _file_rows(local)
    elif local.is_dir():
        rows = _dataset_rows(_local_dataset(local, split, config_name))
    elif _HUB_ID.fullmatch(str(path)) and not str(path).endswith(FILE_SUFFIXES):
        rows = _dataset_rows(_hub_dataset(str(path), split, config_name, revision))
    else:
        raise DataError(
            f"found no file or folder {str(path)!r} (seen from {Path.cwd()}), and it is no hub id; "
            "check the path"
        )
    return itertools.islice(rows, limit)


def source_name(path: str | Path, split: str = "train") -> str:
    """Name of a source, which default problem ids start with; the same on every machine.

    Example:
        >>> source_name("/data/gsm8k/train.jsonl.gz"), source_name("openai/gsm8k", "test")
        ('gsm8k/train', 'openai/gsm8k/test')
    """
    local = Path(path).expanduser()
    for suffix in sorted(FILE_SUFFIXES, key=len, reverse=True):
        if local.name.endswith(suffix):
            return "/".join([*local.resolve().parts[1:][-2:-1], local.name.removesuffix(suffix)])
    name = local.resolve().name if local.is_dir() else str(path)
    return f"{name}/{split}"


def _file_rows(path: Path) -> Iterator[RawRow]:
    if path.name.endswith(".parquet"):
        return _parquet_rows(path)
    if path.name.endswith(FILE_SUFFIXES):
        return _json_rows(path)
    raise DataError(f"found file {str(path)!r}; required: one of {', '.join(FILE_SUFFIXES)}")


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        records = (row for batch in file.iter_batches() for row in batch.to_pylist())
        yield from (RawRow(number, row) for number, row in enumerate(records, start=1))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error}); write it again") from error


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    # utf-8-sig: a byte order mark at the start is no part of the data.
    if path.name.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8-sig") as file:
            yield file
    else:
        with path.open(encoding="utf-8-sig") as file:
            yield file


def _json_rows(path: Path) -> Iterator[RawRow]:
    """Rows of a JSON array or of one object per line, whichever the file holds."""
    try:
        with _open_text(path) as file:
            if not path.name.endswith((".jsonl", ".jsonl.gz")):
                text = file.read()
                if text.lstrip().startswith("["):
                    yield from _array_rows(path, text)
                    return
                lines: Iterable[str] = text.split("\n")
            else:
                lines = file
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _line_row(number, line)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}); write it again") from error


def _array_rows(path: Path, text: str) -> Iterator[RawRow]:
    try:
        items = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is no valid JSON ({error}); correct the file") from error
    for number, item in enumerate(items, start=1):
        yield _object_row(number, item)


def _line_row(number: int, line: str) -> RawRow:
    try:
        item = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        return RawRow(
            number,
            None,
            f"row {number}, whole line: no valid JSON ({error}); correct or remove the line",
        )
    return _object_row(number, item)


def _object_row(number: int, item: object) -> RawRow:
    if isinstance(item, dict):
        return RawRow(number, item)
    return RawRow(
        number,
        None,
        f"row {number}, whole row: found {type(item).__name__}; give a JSON object with columns",
    )


def _local_dataset(path: Path, split: str, config_name: str | None) -> Any:
    """Data set in a folder: either saved by ``save_to_disk``, or any layout datasets can load."""
    import datasets

    if (path / "state.json").is_file():
        return datasets.load_from_disk(str(path))
    if (path / "dataset_dict.json").is_file():
        splits = datasets.load_from_disk(str(path))
        if split not in splits:
            raise DataError(
                f"{path} has no split {split!r}; required: one of {', '.join(sorted(splits))}"
            )
        return splits[split]
    return _load(str(path), split, config_name, None)


def _hub_dataset(path: str, split: str, config_name: str | None, revision: str | None) -> Any:
    return _load(path, split, config_name, revision)


def _load(path: str, split: str, config_name: str | None, revision: str | None) -> Any:
    import datasets

    try:
        return datasets.load_dataset(path, config_name, split=split, revision=revision)
    # A wrong split or configuration is a ValueError, a missing data set an OSError (as is a lost
    # connection), a broken file a DatasetsError.
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"data set {path!r} (configuration {config_name!r}, split {split!r}, revision "
            f"{revision!r}) cannot be loaded: {type(error).__name__}: {error}; check these names, "
            "and whether this machine can reach the hub"
        ) from error


def _dataset_rows(dataset: Any) -> Iterator[RawRow]:
    for number, row in enumerate(dataset, start=1):
        yield RawRow(number, dict(row))
