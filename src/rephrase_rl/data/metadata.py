"""What else a row holds: the metadata column, and every column that the mapping does not name."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.columns import Row, without_paths
from rephrase_rl.data.faults import found_text

if TYPE_CHECKING:
    from rephrase_rl.data.mappings import ColumnMapping
    from rephrase_rl.records import JSON


def read_metadata(row: Row, mapping: ColumnMapping) -> dict[str, JSON]:
    """Everything that is not used, as JSON data; of a column used in part, the rest."""
    column = mapping.metadata
    given = row.get(column)
    metadata: dict[str, JSON] = {}
    if isinstance(given, Mapping):
        metadata = {str(key): _plain(row, column, value) for key, value in given.items()}
    elif given is not None:
        row.fault(column, found_text(given), "give a mapping, or leave the column out")
    paths = mapping.paths()
    for other in row.values:
        if other in paths or other in mapping.ignored:
            continue
        value, inner = row.values[other], _paths_into(other, paths, row)
        if inner:
            value = without_paths(value, inner)
            if value is None:
                continue
        else:
            _refuse_typo(row, other, paths)
        note(row, metadata, other, _plain(row, other, value))
    return metadata


def note(row: Row, metadata: dict[str, JSON], key: str, value: JSON) -> None:
    """Add an entry; one that is there already is a fault."""
    if key in metadata:
        row.fault(key, "the same key stands in the metadata", "rename one of the two")
    metadata[key] = value


def _paths_into(column: str, paths: tuple[str, ...], row: Row) -> list[str]:
    start = f"{column}."
    return [p.removeprefix(start) for p in paths if p.startswith(start) and p not in row.values]


def _refuse_typo(row: Row, column: str, paths: tuple[str, ...]) -> None:
    """A mistyped expert column would turn RePO into GRPO without a word."""
    missing = [name for name in (path.split(".")[0] for path in paths) if name not in row.values]
    close = difflib.get_close_matches(column, missing, n=1, cutoff=0.9)
    if close:
        row.fault(column, f"unknown, and {close[0]!r} is missing", "rename one of the two")


def _plain(row: Row, column: str, value: Any) -> JSON:
    """``value`` as JSON data, for records and the fingerprint."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(row, column, item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(row, column, item) for key, item in value.items()}
    row.fault(
        column,
        f"{found_text(value)} cannot be stored as JSON",
        "remove the column or make it text",
    )
    return None
