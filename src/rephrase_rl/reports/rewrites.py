"""The page of a rewriting job: its figures, and a random draw of rewrites in full."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports import pages
from rephrase_rl.runs.atomic import write_text
from rephrase_rl.runs.jsonl import decode, read_lines

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rephrase_rl.records import JSON

PAGE = "rewrites.md"
DRAWN = 10
"""Rewrites shown of each kind, accepted and refused."""


class _Shown(NamedTuple):
    """One rewrite with its problem, both as plain JSON."""

    problem: JSON
    rewrite: JSON


def write_rewrites_page(folder: str | os.PathLike[str], *, drawn: int = DRAWN) -> Path:
    """Write ``rewrites.md`` of a finished rewriting job into its folder.

    Which rewrites are shown is drawn at random, with a seed that follows from the job's: nobody has
    picked them. Texts stand in fenced blocks as they were written, hidden characters labelled.

    Args:
        folder: What ``rephrase-rl rephrase`` wrote.
        drawn: Most rewrites of each kind.

    Returns:
        The page.

    Raises:
        CheckpointError: There is no finished rewriting job.
    """
    path = Path(folder)
    if not (path / "summary.json").is_file():
        raise CheckpointError(
            f"{path} has no summary.json; required: the folder of a finished `rephrase-rl "
            "rephrase`; run it again with the same --out to finish it"
        )
    summary: Any = decode((path / "summary.json").read_bytes())
    manifest: Any = decode((path / "manifest.json").read_bytes())
    shown = [
        _Shown(problem, rewrite)
        for problem in read_lines(path / "rewrites.jsonl")
        for rewrite in problem["rewrites"]
    ]
    kinds = [
        (word, [s for s in shown if s.rewrite["candidate"]["accepted"] == accepted])
        for word, accepted in (("accepted", True), ("refused", False))
    ]
    page = pages.render_markdown(
        "rewrites.md.j2",
        summary=summary,
        manifest=manifest,
        kinds=[
            (word, len(found), _draw(found, drawn, manifest["seed"], word)) for word, found in kinds
        ],
    )
    write_text(path / PAGE, page)
    return path / PAGE


def _draw(shown: Sequence[_Shown], count: int, seed: int, kind: str) -> list[_Shown]:
    """A random choice, in the order of the problems."""
    # Seeded with text, the same on every machine; rephrase_rl.seeding would bring torch here.
    generator = random.Random(f"shown rewrites, {kind}, {seed}")
    chosen = sorted(generator.sample(range(len(shown)), min(count, len(shown))))
    return [shown[i] for i in chosen]
