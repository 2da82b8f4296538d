"""``rephrase-rl compare``: several runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rephrase_rl.cli.compare_tables import print_comparison
from rephrase_rl.cli.console import messages, print_json
from rephrase_rl.cli.options import JsonOption


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Run directories.", show_default=False),
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Arm that the others are held against, by its name or one of its runs. Default: "
            "grpo if there is one, else the first.",
            show_default=False,
        ),
    ] = None,
    hard: Annotated[
        list[str],
        typer.Option(
            metavar="BENCHMARK",
            help="What is to be learned; may be given several times. Default: hard.",
            show_default=False,
        ),
    ] = [],
    general: Annotated[
        list[str],
        typer.Option(
            metavar="BENCHMARK",
            help="What is to be kept; may be given several times. Default: general.",
            show_default=False,
        ),
    ] = [],
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="Also measure steps, tokens and seconds until --hard reaches this score.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the comparison.")] = Path("runs/comparison"),
    as_json: JsonOption = False,
) -> None:
    """Compare runs, grouped into arms by all but the seed: results, tests, budgets, curves."""
    from rephrase_rl.reports import ComparisonQuestions, write_comparison

    questions = ComparisonQuestions(baseline, tuple(hard), tuple(general), threshold)
    with messages.status("comparing"):
        paths = write_comparison(runs, out, questions)
    data = json.loads(paths.comparison_json.read_bytes())
    if as_json:
        print_json(data)
    else:
        print_comparison(data)
    messages.print(f"\nwith curves: {paths.index}")
