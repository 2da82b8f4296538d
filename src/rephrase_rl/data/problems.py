"""From rows to Problems, all or none: every fault of every row is in one error."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from rephrase_rl.data.faults import BadRow, RowFault, bad_rows, found_text
from rephrase_rl.data.mappings import ColumnMapping
from rephrase_rl.data.named_mappings import get_mapping
from rephrase_rl.data.raw_rows import RawRow
from rephrase_rl.data.rows import read_row
from rephrase_rl.data.sought import SoughtColumns
from rephrase_rl.data.sources import scan_rows, source_name
from rephrase_rl.data.tables import PLAIN_TABLE
from rephrase_rl.errors import DataError
from rephrase_rl.records import Problem, to_json

if TYPE_CHECKING:
    from pathlib import Path

ChooseMapping: TypeAlias = Callable[[Mapping[str, Any]], ColumnMapping]
"""From the first row's columns (none if it cannot be read) to the mapping of all rows."""


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
    return _all_or_none(_read(raw, mapping, source_name), source_name)


def load_problems(
    path: str | Path,
    *,
    mapping: str | ColumnMapping | ChooseMapping = "canonical",
    split: str = "train",
    config_name: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> list[Problem]:
    """Read the Problems of a file or a Hugging Face data set.

    Args:
        path: See ``read_rows``.
        mapping: A name of ``mapping_names()``, a ColumnMapping, or a function that chooses one by
            the first row.
        split: Split of a data set; files have none.
        config_name: Configuration of a data set.
        revision: Commit or tag of a data set on the hub.
        limit: Read so many rows from the start. None: all.

    Raises:
        DataError: The source or mapping is unknown, no row is there, or rows are faulty.
    """
    read = scan_problems(
        path,
        mapping=mapping,
        split=split,
        config_name=config_name,
        revision=revision,
        limit=limit,
    )
    problems = _all_or_none(read, source_name(path, split))
    if not problems:
        raise DataError(f"{path} has no rows; required: at least one problem")
    return problems


def scan_problems(
    path: str | Path,
    *,
    mapping: str | ColumnMapping | ChooseMapping = "canonical",
    split: str = "train",
    config_name: str | None = None,
    revision: str | None = None,
    limit: int | None = None,
) -> Iterator[Problem | BadRow]:
    """Like ``load_problems``, one by one: for data that is larger than memory.

    A row that gives no Problem comes out as a BadRow with its faults. Of the rows before, only the
    ids are kept in memory, to find those that repeat.

    Raises:
        DataError: The source or mapping is unknown, or cannot be read.
    """
    columns = get_mapping(mapping) if isinstance(mapping, str) else mapping
    rows = scan_rows(
        path,
        split=split,
        config_name=config_name,
        revision=revision,
        limit=limit,
        table=columns.table if isinstance(columns, ColumnMapping) else PLAIN_TABLE,
    )
    if not isinstance(columns, ColumnMapping):
        first = next(rows, None)
        if first is None:
            return iter(())
        columns = columns(first.values or {})
        rows = itertools.chain([first], rows)
    return _read(rows, columns, source_name(path, split))


def data_fingerprint(problems: Sequence[Problem]) -> str:
    """Return a SHA-256 (hex) over everything in the problems, their order included.

    Equal on every machine; any change of a text, an id or the order changes it. What the run calls
    a problem's set does not.
    """
    digest = hashlib.sha256()
    for problem in problems:
        content = to_json(problem)
        del content["dataset"]
        line = json.dumps(content, sort_keys=True, ensure_ascii=True)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _read(rows: Iterable[RawRow], mapping: ColumnMapping, name: str) -> Iterator[Problem | BadRow]:
    sought = SoughtColumns(mapping.required)
    yield from sought.told_by_the_last(_read_each(rows, mapping, name, sought))


def _read_each(
    rows: Iterable[RawRow], mapping: ColumnMapping, name: str, sought: SoughtColumns
) -> Iterator[Problem | BadRow]:
    first_rows: dict[str, int] = {}
    for row, place in _single(rows, mapping.rows_in):
        if row.values is None:
            yield BadRow(row.number, () if row.fault is None else (row.fault,))
            continue
        sought.see(row.values)
        item = read_row(row.number, row.values, mapping, default_id=f"{name}-{row.number}{place}")
        if isinstance(item, Problem):
            first = first_rows.get(item.problem_id)
            if first is not None:
                item = BadRow(row.number, (_repeated_id(item, row.number, first, mapping),))
            else:
                first_rows[item.problem_id] = row.number
        yield item


def _single(rows: Iterable[RawRow], column: str | None) -> Iterator[tuple[RawRow, str]]:
    """Rows of one question each, and what tells those of one source row apart in default ids."""
    for row in rows:
        if column is None or row.values is None:
            yield row, ""
            continue
        shared = {name: value for name, value in row.values.items() if name != column}
        items = row.values.get(column)
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            remedy = "give a list of objects, one for each question (or mapping.rows_in: null)"
            fault = RowFault(row.number, f"column {column!r}", found_text(items), remedy)
            yield RawRow(row.number, None, fault), ""
            continue
        for index, item in enumerate(items, start=1):
            yield RawRow(row.number, {**shared, **item}), f"-{index}"


def _repeated_id(problem: Problem, number: int, first: int, mapping: ColumnMapping) -> RowFault:
    return RowFault(
        number,
        f"column {mapping.problem_id!r}",
        f"{problem.problem_id!r} is also row {first}'s",
        "make it unique, or leave the column out",
        "problem_id",
    )


def _all_or_none(items: Iterable[Problem | BadRow], name: str) -> list[Problem]:
    problems: list[Problem] = []
    faults: list[RowFault] = []
    for item in items:
        if isinstance(item, BadRow):
            faults.extend(item.faults)
        else:
            problems.append(item)
    if faults:
        raise bad_rows(faults, name)
    return problems
