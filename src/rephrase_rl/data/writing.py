"""Problems as rows that ``load_problems`` reads with the canonical mapping."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import DataError
from rephrase_rl.runs.atomic import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.records import JSON, Problem

METADATA = "metadata"


def canonical_row(problem: Problem) -> dict[str, JSON]:
    """One problem in the canonical columns: a lone question as text, a conversation as turns."""
    turns = [dict(turn) for turn in problem.messages]
    asked = {"question": problem.question} if len(turns) == 1 else {"messages": turns}
    return {
        "problem_id": problem.problem_id,
        **asked,
        "reference_answer": problem.reference_answer,
        "expert_solution": problem.expert_solution,
        "task_kind": problem.task_kind,
        METADATA: dict(problem.metadata),
    }


def write_parquet(path: Path, rows: Sequence[Mapping[str, JSON]]) -> None:
    """Write rows as one Parquet table, in one step; an old file is replaced.

    Parquet has one type for each key. A metadata key whose values have several is written as JSON
    text; a column without any value is left out, and so is metadata without any key.

    Raises:
        DataError: A column other than ``metadata`` cannot be stored.
    """
    import pyarrow as pa
    from pyarrow import parquet

    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Any] = {}
    for name in names:
        values: Sequence[Any] = [row.get(name) for row in rows]
        if name == METADATA:
            values = _one_type_per_key(values)
        if all(value is None or value == {} for value in values):
            continue
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, TypeError) as error:
            raise DataError(
                f"column {name!r} cannot be written to {path} ({error}); its values must have one "
                "type: correct the data"
            ) from error
    table = pa.table(columns)
    with replacing(path) as file:
        parquet.write_table(table, file)


def _one_type_per_key(values: Sequence[Any]) -> list[dict[str, JSON]]:
    """Metadata in which the values of every key can be stored together."""
    import pyarrow as pa

    mappings: list[dict[str, JSON]] = [dict(value or {}) for value in values]
    for key in {key for mapping in mappings for key in mapping}:
        column = [mapping.get(key) for mapping in mappings]
        try:
            is_storable = not pa.types.is_null(pa.array(column).type) and all(
                value != {} for value in column
            )
        except (pa.ArrowException, TypeError):
            is_storable = False
        for mapping in () if is_storable else mappings:
            if mapping.get(key) is None:
                mapping.pop(key, None)
            else:
                mapping[key] = json.dumps(mapping[key], ensure_ascii=False)
    return mappings
