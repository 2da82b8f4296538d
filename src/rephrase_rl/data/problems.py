"""From rows to Problems, all or none: every fault of every row is in one error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.faults import bad_rows
from rephrase_rl.data.mappings import ColumnMapping, get_mapping
from rephrase_rl.data.rows import RowReader
from rephrase_rl.data.sources import RawRow, scan_rows, source_name
from rephrase_rl.errors import DataError
from rephrase_rl.records import Problem, to_json

if TYPE_CHECKING:
    from pathlib import Path


def problems_from_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    mapping: ColumnMapping,
    *,
    source_name: str,
) -> list[Problem]:
    """Turn rows into Problems, in order.

    Args:
        rows: (row number, columns) pairs, as ``read_rows`` yields them.
        mapping: Which column means what.
        source_name: Used in messages, and in the ids of problems that have none.

    Raises:
        DataError: Rows are faulty or repeat an id; ``faults`` lists every fault with row number,
            column and remedy.
    """
    raw = (RawRow(number, dict(values)) for number, values in rows)
    return _collect(raw, mapping, source_name)


def load_problems(
    path: str | Path,
    *,
    mapping: str | ColumnMapping = "canonical",
    split: str = "train",
    config_name: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> list[Problem]:
    """Read the Problems of a file or a Hugging Face data set.

    Args:
        path: See ``read_rows``.
        mapping: ``canonical``, ``gsm8k``, ``trl`` or a ColumnMapping.
        split: Split of a data set; files have none.
        config_name: Configuration of a data set.
        revision: Commit or tag of a data set on the hub.
        limit: Read so many rows from the start. None: all.

    Raises:
        DataError: The source or mapping is unknown, no row is there, or rows are faulty.
    """
    columns = get_mapping(mapping) if isinstance(mapping, str) else mapping
    rows = scan_rows(path, split=split, config_name=config_name, revision=revision, limit=limit)
    problems = _collect(rows, columns, source_name(path, split))
    if not problems:
        raise DataError(f"{path} has no rows; required: at least one problem")
    return problems


def data_fingerprint(problems: Sequence[Problem]) -> str:
    """Return a SHA-256 (hex) over everything in the problems, their order included.

    Equal on every machine; any change of a text, an id or the order changes it.
    """
    digest = hashlib.sha256()
    for problem in problems:
        line = json.dumps(to_json(problem), sort_keys=True, ensure_ascii=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _collect(rows: Iterable[RawRow], mapping: ColumnMapping, name: str) -> list[Problem]:
    problems: list[Problem] = []
    faults: list[str] = []
    first_rows: dict[str, int] = {}
    for row in rows:
        if row.values is None:
            faults.append(row.fault)
            continue
        reader = RowReader(row.number, row.values, mapping)
        problem = reader.read(default_id=f"{name}-{row.number}")
        faults.extend(reader.faults)
        if problem is None:
            continue
        first = first_rows.setdefault(problem.problem_id, row.number)
        if first != row.number:
            faults.append(
                f"row {row.number}, column {mapping.problem_id!r}: {problem.problem_id!r} is also "
                f"row {first}'s; make it unique, or leave the column out"
            )
        problems.append(problem)
    if faults:
        raise bad_rows(faults, name)
    return problems
