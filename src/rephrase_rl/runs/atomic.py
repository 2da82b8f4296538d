"""Whole files that are either the old version or the new one, never half of either.

The content goes to a temporary file in the same folder, which then takes the final name in one
``os.replace``. A process killed before that leaves the old file untouched and a hidden
``.<name>.tmp`` beside it, which the next write of the same file reuses. One writer per file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of every unfinished file; readers of a run directory pass over such files."""


def temporary_path(path: Path) -> Path:
    """Return the name under which ``path`` is prepared; always in the same folder."""
    return path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; on leaving the block it takes the place of ``path``.

    If the block raises, ``path`` stays as it was and the temporary file is removed.

    Args:
        path: Final name. Its parent folder is made if needed.

    Yields:
        A binary file open for writing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        # Through a symbolic link of that name the content would go somewhere else.
        if temporary.is_symlink():
            temporary.unlink()
        with temporary.open("wb") as file:
            yield file
            file.flush()
            # Without this a power cut may keep the new name and lose the content.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Put ``content`` in place of ``path`` in one step; see ``replacing``."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Put UTF-8 text in place of ``path`` in one step; lone surrogates become ``&#...;``.

    Model text can hold half a surrogate pair, which UTF-8 cannot express.
    """
    write_bytes(path, content.encode("utf-8", errors="xmlcharrefreplace"))
