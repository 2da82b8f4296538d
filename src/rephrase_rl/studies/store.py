"""Summaries of finished cells: one small JSON file each, in any number of folders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rephrase_rl.errors import DataError
from rephrase_rl.runs import atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rephrase_rl.records import JSON

FORMAT_VERSION = 1
"""Raised when summaries change so that older readers fail."""


def write_summary(folder: Path, summary: Mapping[str, JSON]) -> Path:
    """Write the summary of a cell; the file is the mark that the cell is finished."""
    path = folder / f"{summary['id']}.json"
    # One key a line: small, and a change shows as one.
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in summary.items()
    ]
    atomic.write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def read_summaries(folders: Iterable[Path]) -> dict[str, dict[str, JSON]]:
    """Summaries by cell id; of a cell in several folders the first folder's.

    Raises:
        DataError: A file is not a summary, or one of another version.
    """
    found: dict[str, dict[str, JSON]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            found.setdefault(path.stem, _read(path))
    return found


def _read(path: Path) -> dict[str, JSON]:
    try:
        summary: dict[str, JSON] = json.loads(path.read_text(encoding="utf-8"))
        version, name = summary["format_version"], summary["id"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} is not the summary of a cell ({type(error).__name__}: {error}); required: a "
            "file that `rephrase-rl study` wrote: take it away, and the cell is run again"
        ) from error
    if version != FORMAT_VERSION or name != path.stem:
        raise DataError(
            f"{path} holds version {version} of cell {name}; required: version {FORMAT_VERSION} of "
            f"{path.stem}: take it away, and the cell is run again"
        )
    return summary
