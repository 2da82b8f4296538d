"""What an interrupted job leaves behind, told to whoever interrupted it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rephrase_rl.cli.console import messages


@contextmanager
def told_what_is_kept(out: Path) -> Iterator[None]:
    """On Ctrl-C say that the job can be gone on with, if it has begun to write.

    Args:
        out: Folder of a resumable job.
    """
    try:
        yield
    except KeyboardInterrupt:
        if (out / "manifest.json").is_file():
            messages.print(f"interrupted; what is done is kept in {out}; the same command goes on")
        raise
