"""Room for a new run: what lies in its folder, and what is worth keeping of it.

A failure before the first step leaves a folder in which nothing was done. It is worth nothing and
would stand in the way of the same command, mended. Imports no torch.
"""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import atomic, checkpoints
from rephrase_rl.runs.layout import FILES, FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WORTHLESS = {"manifest.json", "config.yaml", "tensorboard"}
"""What a run has from its start, and event files without an event of its own."""


def make_room(folder: Path, overwrite: bool) -> None:
    """Remove the run in a folder that is not empty, or say why that is refused.

    Raises:
        CheckpointError: ``overwrite`` is not set, or the folder holds files but no run.
    """
    if not overwrite:
        raise CheckpointError(
            f"{folder} is not empty; required: a new folder for a new run; do this: choose "
            f"another one (--set output_dir=...){_ways_on(folder)}"
        )
    known = {*FILES, *FOLDERS}
    strangers = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in known and not entry.name.endswith(atomic.TEMPORARY_SUFFIX)
    )
    if strangers and not (folder / "manifest.json").is_file():
        raise CheckpointError(
            f"{folder} holds {', '.join(strangers[:5])} and no manifest.json, so it is not a run "
            "and is not overwritten: choose another path or empty the folder yourself"
        )
    _remove_run(folder)


def is_bare(folder: Path) -> bool:
    """Whether a run directory holds no step, group, rewrite, evaluation, checkpoint or page."""
    parts = [folder / name for name in (*FILES, *FOLDERS) if name not in _WORTHLESS]
    return not any(_has_content(part) for part in parts)


@contextlib.contextmanager
def removed_if_bare(folder: Path) -> Iterator[None]:
    """Remove a run directory that is made within this context, if an error comes before anything.

    One that was there before stays, and so does a file that no run writes.
    """
    before = _identity(folder)
    try:
        yield
    except Exception:
        # What cannot be removed stays: the error that came first is the one to be told.
        with contextlib.suppress(OSError):
            if _identity(folder) not in (None, before) and is_bare(folder):
                _remove_run(folder)
                folder.rmdir()
        raise


def _ways_on(folder: Path) -> str:
    """The ways on besides another folder, by what the run that is there has come to."""
    if not (folder / "manifest.json").is_file():
        return ""
    if checkpoints.all_checkpoints(folder / "checkpoints"):
        return ", go on with the run that is there (--resume), or replace it (--overwrite)"
    if is_bare(folder):
        return ", or replace the run that is there, in which nothing was done yet (--overwrite)"
    return ", or replace the run that is there, without a checkpoint to go on from (--overwrite)"


def _remove_run(folder: Path) -> None:
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    for name in FOLDERS:
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Tells a run from another one in the same place; None: there is none."""
    try:
        found = (folder / "manifest.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _has_content(part: Path) -> bool:
    if part.is_dir():
        return any(file.is_file() for file in part.rglob("*"))
    return part.is_file() and part.stat().st_size > 0
