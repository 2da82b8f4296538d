"""``rephrase-rl compare``: several runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rephrase_rl.cli.console import messages, output, print_json
from rephrase_rl.cli.options import JsonOption


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Run directories.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the comparison.")] = Path("runs/comparison"),
    as_json: JsonOption = False,
) -> None:
    """Compare runs: results, budgets, curves, and where their configurations differ."""
    from rephrase_rl.reports import write_comparison

    with messages.status("comparing"):
        paths = write_comparison(runs, out)
    if as_json:
        print_json(json.loads(paths.comparison_json.read_bytes()))
    else:
        output.print(paths.comparison_markdown.read_text(encoding="utf-8").rstrip())
    messages.print(f"\nwith curves: {paths.index}")
