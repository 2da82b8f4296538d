"""To which run a folder of weights belongs."""

from __future__ import annotations

import os
from pathlib import Path


def run_of(model: str | os.PathLike[str]) -> Path | None:
    """The run directory that a policy is, or among whose checkpoints it lies; None: of no run.

    Args:
        model: As a user names it: a folder, or anything else such as a hub id.
    """
    path = Path(model)
    if (path / "manifest.json").is_file():
        return path
    # Without following links: whoever linked a checkpoint elsewhere means a model of its own.
    folder = Path(os.path.abspath(path)).parent
    if (
        path.is_dir()
        and folder.name == "checkpoints"
        and (folder.parent / "manifest.json").is_file()
    ):
        return folder.parent
    return None
