"""``rephrase-rl report``: card, curves and the page of groups of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rephrase_rl.cli.console import messages, output


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.", show_default=False)],
) -> None:
    """Write the report of a run; reads the run directory and nothing else."""
    from rephrase_rl.reports import write_report

    with messages.status("writing the report"):
        paths = write_report(run)
    output.print(str(paths.index))
