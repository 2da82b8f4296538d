"""Append-only files of one JSON object per line that survive a killed process.

A line counts once it is whole. A process killed in the middle of a write leaves at most one torn
line at the end: readers pass over it, the next append cuts it off first. A damaged line anywhere
else is an error, since nothing this package does can cause it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import numbers
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError
from rephrase_rl.records import JSON, to_json

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

TAIL_BLOCK = 65536
"""Bytes read at a time when looking backwards for the end of the last whole line."""


def encode(value: object, *, indent: int | None = None) -> bytes:
    r"""Encode records, mappings, sequences and numbers as UTF-8 JSON; NaN and infinity as null.

    Text stays readable (no ``\u`` escapes) unless it holds half a surrogate pair.

    Raises:
        TypeError: Something in ``value`` has no JSON form.
    """
    data = to_json(value)
    text = json.dumps(
        data, ensure_ascii=False, allow_nan=False, default=_encode_scalar, indent=indent
    )
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(data, allow_nan=False, default=_encode_scalar, indent=indent).encode()


def decode(content: bytes) -> JSON:
    """Decode JSON; the non-standard constants NaN and Infinity of other writers become None.

    Raises:
        ValueError: Not JSON, not UTF-8, or too deep.
    """
    try:
        return json.loads(content, parse_constant=lambda _: None)
    except RecursionError as error:
        raise ValueError("lists and objects in each other, too deep to be read") from error


def append_lines(path: Path, values: Iterable[object]) -> None:
    """Append one line per value, all in one write; a torn last line is cut off first.

    Everything is encoded before the file is touched, so a value without JSON form changes nothing.

    Raises:
        TypeError: A value has no JSON form.
        OSError: It could not be written; the file is as it was.
    """
    payload = b"".join(encode(value) + b"\n" for value in values)
    if not payload:
        return
    repair_tail(path)
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(payload)
    except OSError:
        # A full disk takes a part of it; cutting that off needs no room.
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise


def read_lines(path: Path) -> Iterator[JSON]:
    """Yield the value of every whole line; a missing file has none.

    Safe beside a process that appends: a line that is still being written is passed over.

    Raises:
        CheckpointError: A line other than an unfinished last one is not JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                value = decode(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    logger.info("%s: passed over the unfinished last line %d", path, number)
                    return
                raise CheckpointError(
                    f"{path}: line {number} is not JSON ({error}); every line but an unfinished "
                    "last one must be whole. The file was changed from outside: restore it from a "
                    "copy or remove that line"
                ) from error
            yield value


def repair_tail(path: Path) -> int:
    """Make the file end with a whole line and return how many bytes had to be cut off.

    A last line that is whole but lacks its newline keeps its content: no proper beginning of a
    JSON object is itself JSON.
    """
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = _start_of_last_line(path, size)
        if start == size:
            return 0
        file.seek(start)
        tail = file.read()
        try:
            decode(tail)
        except ValueError:
            file.truncate(start)
            logger.warning(
                "%s: cut off an unfinished last line of %d bytes, left by a killed run",
                path,
                len(tail),
            )
            return len(tail)
        file.seek(size)
        file.write(b"\n")
    return 0


def _start_of_last_line(path: Path, size: int) -> int:
    """Return the offset after the last newline: ``size`` if the file ends with one, else less."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            begin = max(0, end - TAIL_BLOCK)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0


def _encode_scalar(value: object) -> JSON:
    """Encode what ``json`` does not know: numpy's scalars (by their abstract type) and paths."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(
        f"found a {type(value).__name__} ({value!r:.80}) where a JSON value is required; turn it "
        "into numbers, text, lists or mappings before it is written to a run directory"
    )
