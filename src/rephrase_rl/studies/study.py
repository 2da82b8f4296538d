"""Goes through the cells of a study by rank, until all are done or the time is over."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.errors import ConfigError
from rephrase_rl.runs.manifest import describe_commit
from rephrase_rl.studies.begun import refuse_another_study
from rephrase_rl.studies.order import remaining, starting_seed
from rephrase_rl.studies.policies import POLICIES, is_there
from rephrase_rl.studies.store import read_summaries, write_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.records import JSON
    from rephrase_rl.studies.cells import Cell

SUMMARIES = "summaries"
"""Folder of summaries within the folder of a study."""


def run_study(
    study: StudyConfig,
    out: Path,
    known: Sequence[Path] = (),
    *,
    hours: float | None = None,
    max_runs: int | None = None,
    on_cell: Callable[[str, float], None] | None = None,
    on_finished: Callable[[dict[str, JSON]], None] | None = None,
) -> int:
    """Carry out cells by rank; a cell with a summary is finished and not run again.

    Args:
        study: What to run.
        out: Folder of run directories, starting policies and new summaries.
        known: Folders with summaries of earlier sittings.
        hours: No cell is begun later than this.
        max_runs: Most cells.
        on_cell: Called with a cell's id and the hours so far before it is begun.
        on_finished: Called with its summary.

    Returns:
        Cells carried out.

    Raises:
        ConfigError: The package's own git tree has changes, another process is at this study, or
            its folder holds cells of another one.
        RephraseError: A cell failed; it stays first in rank.
    """
    refuse_changed_tree()
    started = time.monotonic()
    done = 0

    def is_ready(cell: Cell) -> bool:
        seed = starting_seed(study, cell)
        return is_there(out / POLICIES, cell.rewriter, seed, study.family)

    with _alone(out):
        refuse_another_study(study, out)
        while max_runs is None or done < max_runs:
            summaries = read_summaries([out / SUMMARIES, *known])
            cell = next(remaining(study, summaries, is_ready), None)
            spent = (time.monotonic() - started) / 3600
            if cell is None or (hours is not None and spent >= hours):
                break
            if on_cell is not None:
                on_cell(cell.cell_id, spent)

            # Heavy, and not needed to find that nothing is left to do.
            from rephrase_rl.studies.conduct import conduct_cell

            command = ["rephrase-rl", "study", study.name]
            summary = conduct_cell(study, cell, out, summaries, command)
            write_summary(out / SUMMARIES, summary)
            done += 1
            if on_finished is not None:
                on_finished(summary)
    return done


def refuse_changed_tree() -> None:
    """Refuse to record runs of code that no commit holds.

    Raises:
        ConfigError: The git tree that the package runs from has changes.
    """
    if describe_commit(Path(__file__).resolve())["dirty"]:
        raise ConfigError(
            "the git tree that rephrase-rl runs from has changes; required: a clean one, since "
            "summaries name the commit that made them: commit the changes or put them aside"
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the lock of a study's folder.

    Raises:
        ConfigError: Another process holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another process is at the study in {out}; required: one at a time: wait for it, "
                "or choose another --out"
            ) from error
        yield
