"""Rows from files and Hugging Face data sets, one after the other, with their numbers.

``datasets`` is imported when needed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rephrase_rl.data.faults import bad_rows
from rephrase_rl.data.files import FILE_SUFFIXES, file_rows, file_suffix
from rephrase_rl.data.raw_rows import RawRow
from rephrase_rl.data.tables import PLAIN_TABLE, TableFormat
from rephrase_rl.errors import DataError

_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


def read_rows(
    path: str | Path,
    *,
    split: str = "train",
    config_name: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
    table: TableFormat = PLAIN_TABLE,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, columns) of a file or a Hugging Face data set.

    Args:
        path: A .jsonl, .json, .csv, .tsv (each also with .gz) or .parquet file; a folder written by
            ``save_to_disk`` or holding data files; or an id of the Hugging Face hub.
        split: Split of a data set; files have none and take no notice.
        config_name: Configuration of a data set, such as ``main`` of ``openai/gsm8k``.
        revision: Commit or tag of a data set on the hub.
        limit: Read so many rows from the start. None: all.
        table: How a CSV or TSV file is written.

    Raises:
        DataError: The source cannot be found or read; after the last row, if rows were unreadable.
    """
    faults = []
    rows = scan_rows(
        path, split=split, config_name=config_name, revision=revision, limit=limit, table=table
    )
    for row in rows:
        if row.values is not None:
            yield row.number, row.values
        elif row.fault is not None:
            faults.append(row.fault)
    if faults:
        raise bad_rows(faults, str(path))


def scan_rows(
    path: str | Path,
    *,
    split: str = "train",
    config_name: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
    table: TableFormat = PLAIN_TABLE,
) -> Iterator[RawRow]:
    """Like ``read_rows``, but an unreadable row is yielded with its fault.

    Raises:
        DataError: The source cannot be found or read, or ``limit`` is below 1.
    """
    if limit is not None and limit < 1:
        raise DataError(f"found limit={limit}; required: at least 1, or None for all rows")
    local = Path(path).expanduser()
    # A limit asks for the start of a data set: streaming fetches no more than that.
    streaming = limit is not None
    if local.is_file():
        rows = file_rows(local, table)
    elif local.is_dir():
        rows = _dataset_rows(local, split, config_name, None, streaming)
    elif _HUB_ID.fullmatch(str(path)) and not str(path).endswith(FILE_SUFFIXES):
        rows = _dataset_rows(str(path), split, config_name, revision, streaming)
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
    suffix = file_suffix(local.name)
    if suffix is not None:
        return "/".join([*local.resolve().parts[1:][-2:-1], local.name.removesuffix(suffix)])
    name = local.resolve().name if local.is_dir() else str(path)
    return f"{name}/{split}"


def _dataset_rows(
    path: str | Path, split: str, config_name: str | None, revision: str | None, streaming: bool
) -> Iterator[RawRow]:
    import datasets

    try:
        dataset = (
            _local_dataset(path, split, config_name, streaming)
            if isinstance(path, Path)
            else _load(path, split, config_name, revision, streaming)
        )
        for number, row in enumerate(dataset, start=1):
            yield RawRow(number, dict(row))
    # A wrong split or configuration is a ValueError, a missing data set an OSError (as is a lost
    # connection), a broken file a DatasetsError, a folder with a loading script a RuntimeError.
    except DataError:
        raise
    except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"data set {str(path)!r} (configuration {config_name!r}, split {split!r}, revision "
            f"{revision!r}) cannot be loaded: {type(error).__name__}: {error}; check these names, "
            "and whether this machine can reach the hub"
        ) from error


def _local_dataset(path: Path, split: str, config_name: str | None, streaming: bool) -> Any:
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
    # A folder called `csv` is not the format of that name.
    return _load(str(path.resolve()), split, config_name, None, streaming)


def _load(
    path: str, split: str, config_name: str | None, revision: str | None, streaming: bool
) -> Any:
    import datasets

    how = {"streaming": True} if streaming else {}
    return datasets.load_dataset(path, config_name, split=split, revision=revision, **how)
