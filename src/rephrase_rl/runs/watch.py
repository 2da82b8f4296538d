"""``watch.jsonl`` of a run directory: what evaluations in training were compared with, and decided.

One line per evaluation after training has begun. ``step`` counts like the steps of
``steps.jsonl``, from 0, so that a run that goes back drops the lines of what it does again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.runs import jsonl
from rephrase_rl.runs.checked_reading import read_objects

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.records import JSON

FILE = "watch.jsonl"


def append_watch(run_path: Path, record: JSON) -> None:
    """Append the record of one evaluation.

    Args:
        run_path: The run directory.
        record: With ``step`` and ``after_steps``, one more.
    """
    jsonl.append_lines(run_path / FILE, [record])


def read_watch(run_path: Path) -> list[JSON]:
    """Return every whole record; none if nothing was watched."""
    return list(read_objects(run_path / FILE))
