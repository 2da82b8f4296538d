"""Checkpoints that are whole or not there: written beside, sealed by checksums, then renamed.

::

    checkpoints/.writing/checkpoint-40   while it is written; what a kill leaves is not read
    checkpoints/checkpoint-40            from the moment it is whole
    checkpoints/checkpoint-40/SHA256SUMS every file with its checksum, written last (`sha256sum -c`)

The sums are compared before anything is loaded, so a file that was damaged later is named and not
trained on. Imports no torch.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import atomic

WRITING = ".writing"
"""Folder beside the checkpoints in which one is prepared."""
SUMS = "SHA256SUMS"
LAST_WHOLE = "last-whole"
"""Asks for the newest checkpoint that is not damaged."""
_NAME = re.compile(r"checkpoint-(\d+)")
_BLOCK = 1 << 20


def name_of(step: int) -> str:
    """The folder name of a checkpoint after this many steps."""
    return f"checkpoint-{step}"


def step_of(checkpoint: str | os.PathLike[str]) -> int:
    """Optimiser steps done at a checkpoint, by its name.

    Raises:
        CheckpointError: The name is not that of a checkpoint.
    """
    found = _NAME.fullmatch(Path(checkpoint).name)
    if found is None:
        raise CheckpointError(
            f"{checkpoint} is not named like a checkpoint; required: checkpoint-STEP"
        )
    return int(found[1])


def all_checkpoints(home: Path) -> list[Path]:
    """Folders of checkpoints, oldest first, whole or not."""
    folders = [f for f in home.glob("checkpoint-*") if _NAME.fullmatch(f.name) and f.is_dir()]
    return sorted(folders, key=step_of)


def seal(folder: Path) -> None:
    """Write the checksum of every file; all of it has reached the disk afterwards."""
    lines = []
    for file in _files(folder):
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
            os.fsync(content.fileno())
        lines.append(f"{digest}  {file.relative_to(folder).as_posix()}\n")
    atomic.write_text(folder / SUMS, "".join(lines))


def faults_of(folder: Path) -> list[str]:
    """What is wrong with a checkpoint, file by file; empty: it is whole.

    Files that the sums do not name are left alone: another program may have added them.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return [f"{SUMS} is missing or not readable, so it is not known what else is"]
    faults = []
    for line in lines:
        expected, _, name = line.partition("  ")
        try:
            with (folder / name).open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            faults.append(f"{name}: {error.strerror or error}")
            continue
        if found != expected:
            size = (folder / name).stat().st_size
            faults.append(f"{name}: its {size:,} bytes are not those that were written")
    return faults


def require_whole(folder: Path) -> None:
    """Compare every file with its checksum.

    Raises:
        CheckpointError: With every file that is damaged, and what can be done.
    """
    faults = faults_of(folder)
    if not faults:
        return
    earlier = [c.name for c in all_checkpoints(folder.parent) if c.name != folder.name]
    remedy = (
        f"--resume-from {LAST_WHOLE} takes the newest whole one of the others ("
        f"{', '.join(earlier)}) and removes what came after it"
        if earlier
        else "there is no other one: start a new run, or restore the files from a copy"
    )
    listed = "".join(f"\n  - {fault}" for fault in faults)
    raise CheckpointError(f"{folder} is damaged; {remedy}{listed}")


def choose(home: Path, wanted: str | None = None) -> Path:
    """The checkpoint to go on from, whole.

    Args:
        home: Folder of the checkpoints.
        wanted: A step, or ``last-whole``. None: the newest, which must be whole.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    there = all_checkpoints(home)
    if not there:
        raise CheckpointError(
            f"found no checkpoint under {home}; --resume needs one: begin anew with --overwrite, "
            "with trainer.save_strategy steps and trainer.save_steps"
        )
    if wanted == LAST_WHOLE:
        whole = next((folder for folder in reversed(there) if not faults_of(folder)), None)
        if whole is None:
            require_whole(there[-1])
        return whole or there[-1]
    chosen = there[-1] if wanted is None else home / name_of(_number(wanted))
    if chosen not in there:
        raise CheckpointError(
            f"found no {chosen.name} under {home}; there are {', '.join(f.name for f in there)}: "
            "name one of them"
        )
    require_whole(chosen)
    return chosen


def prepare_writing(home: Path) -> Path:
    """An empty folder to write in; what a killed run left in it is removed."""
    folder = home / WRITING
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def publish(folder: Path, home: Path) -> Path:
    """Give a sealed folder its place, in place of an earlier one of that name.

    Args:
        folder: Under ``home``'s folder for writing.
        home: Folder of the checkpoints.
    """
    target = home / folder.name
    if target.exists():
        target.rename(folder.with_name(f"replaced-{target.name}"))
    folder.rename(target)
    _sync_folder(home)
    shutil.rmtree(home / WRITING)
    return target


def discard(folders: list[Path]) -> None:
    """Remove checkpoints; a kill in between leaves none that looks whole."""
    for folder in folders:
        (folder / SUMS).unlink(missing_ok=True)
        shutil.rmtree(folder)


def rotate(home: Path, limit: int | None, best: str | None = None) -> None:
    """Remove the oldest checkpoints beyond a limit; never the newest, nor the best.

    Args:
        home: Folder of the checkpoints.
        limit: How many may stay. None or 0: all.
        best: Path of one that stays in any case.
    """
    there = all_checkpoints(home)
    if not limit or len(there) <= limit:
        return
    kept = {there[-1].name} | ({Path(best).name} if best else set())
    excess = len(there) - max(limit, len(kept))
    discard([folder for folder in there if folder.name not in kept][:excess])


def _number(wanted: str) -> int:
    digits = wanted.removeprefix("checkpoint-")
    if not digits.isdecimal():
        raise CheckpointError(
            f"found {wanted!r} as the checkpoint to resume from; required: a step such as 40, or "
            f"{LAST_WHOLE}"
        )
    return int(digits)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file() and f != folder / SUMS)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
