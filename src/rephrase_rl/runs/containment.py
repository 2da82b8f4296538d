"""What a run writes stays in its directory, also where the directory was copied from a stranger.

A symbolic link inside would lead writing, and removing, somewhere else. The run directory itself
may be a link, as to a larger disk; so may files inside a checkpoint, which are only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path


def refuse_links(folder: Path, names: Sequence[str]) -> None:
    """Refuse a run directory of which a part is a symbolic link.

    Args:
        folder: The run directory; need not be there.
        names: Its files and folders; of ``evals`` and ``report`` everything below counts too,
            of ``checkpoints`` what lies in it.

    Raises:
        CheckpointError: With every such link.
    """
    links = [
        str(path.relative_to(folder))
        for name in names
        for path in (folder / name, *_below(folder / name))
        if path.is_symlink()
    ]
    if links:
        raise CheckpointError(
            f"{folder}: found symbolic links in place of {', '.join(links[:5])}; required: files "
            "and folders of its own, since what a run writes stays in its directory: put the "
            "things themselves there, or make the whole directory the link"
        )


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not path.is_dir():
        return
    if path.name in ("evals", "report"):
        yield from path.rglob("*")
    elif path.name == "checkpoints":
        yield from path.iterdir()
