"""Reading of a run directory's files with a word about what is not as a run writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import jsonl, shapes

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.records import JSON


def read_objects(path: Path) -> Iterator[JSON]:
    """Yield every whole line of a file of records.

    Raises:
        CheckpointError: A line is not a JSON object.
    """
    for number, row in enumerate(jsonl.read_lines(path), start=1):
        if not isinstance(row, dict):
            raise CheckpointError(
                f"{path}: line {number} is {type(row).__name__}, required: an object; the file was "
                "changed from outside: restore it from a copy"
            )
        yield row


def step_of(row: JSON, name: str) -> int:
    """The step of a record, which has to be a whole number.

    Raises:
        CheckpointError: It is none.
    """
    step = row.get("step")
    if type(step) is not int:
        raise CheckpointError(
            f"{name}: found a record with step {str(step)[:40]!r}, required: a whole number; "
            "the file was changed from outside: restore it from a copy"
        )
    return step


def read_checked(file: Path, shape: shapes.Shape) -> JSON:
    """Content of a file that holds one JSON object.

    Raises:
        CheckpointError: It is not JSON, or a value is not of the type that readers rely on.
    """
    try:
        value = jsonl.decode(file.read_bytes())
    except ValueError as error:
        raise CheckpointError(
            f"{file} is not JSON ({error}); it is written in one step, so it was changed from "
            "outside: restore it from a copy"
        ) from error
    shapes.check_shape(value, shape, file)
    return value
