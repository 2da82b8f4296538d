"""``rephrase-rl rephrase``: rewrites of expert solutions without training, with verdicts."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rephrase_rl.cli.console import output, print_json
from rephrase_rl.cli.interruption import told_what_is_kept
from rephrase_rl.cli.options import JsonOption, SetOption
from rephrase_rl.cli.result_table import interval_text
from rephrase_rl.cli.step_line import progress_bar
from rephrase_rl.cli.targets import config_of_target

if TYPE_CHECKING:
    from rephrase_rl.assembly import RewritesSummary


def rephrase(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model that rewrites: run, local folder, hub id or lab:base.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="DATA|CONFIG",
            help="Data file, dataset folder, hub id or lab:hard with expert solutions (columns "
            "with other names: --set data.mapping=gsm8k); or a run configuration (YAML), whose "
            "rules and sampling are used.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the job; one that is there is gone on with.")
    ],
    samples: Annotated[
        int, typer.Option("-k", "--samples", min=1, help="Rewrites of each problem.")
    ] = 1,
    overrides: SetOption = [],
    as_json: JsonOption = False,
) -> None:
    """Rewrite expert solutions offline, judge them and say why they would be refused."""
    config = config_of_target(target, model, overrides, method="repo")

    from rephrase_rl.assembly import rephrase as rephrase_problems
    from rephrase_rl.reports import write_rewrites_page

    with told_what_is_kept(out), progress_bar(unit="problems") as progress:
        task = progress.add_task("rewriting", total=None)
        summary = rephrase_problems(
            config,
            out,
            samples=samples,
            command=["rephrase-rl", *sys.argv[1:]],
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    page = write_rewrites_page(out)
    if as_json:
        from rephrase_rl.records import to_json

        print_json(to_json(summary))
        return
    _print(summary)
    output.print(f"A random draw of them in full: {page}")


def _print(summary: RewritesSummary) -> None:
    table = Table(
        "rewrites", "", title=f"{summary.rewrites:,} rewrites of {summary.problems:,} problems"
    )
    table.add_row("right, of those with a verdict", interval_text(summary.right))
    table.add_row("accepted", interval_text(summary.accepted))
    table.add_section()
    for title, counts in (
        ("verdict", summary.verdicts),
        ("refused by", summary.refusals),
        ("problem not asked:", summary.not_asked),
    ):
        for word, count in counts.items():
            table.add_row(f"{title} {word}", f"{count:,}")
    table.add_row("with meta text cut", f"{summary.removed_meta:,}")
    table.add_row("with meta text left over", f"{summary.leftover_meta:,}")
    table.add_section()
    steps = f"{summary.steps_right:,} of {summary.steps_found:,}"
    table.add_row("accepted: steps right, of those checked", steps)
    table.add_row("accepted with a wrong step", f"{summary.accepted_with_wrong_step:,}")
    table.add_row("accepted: median share in passages of k", _figure(summary.median_copied_share))
    table.add_row("accepted: log-prob per token given q", _figure(summary.logp_on_q))
    table.add_row("accepted: log-prob per token given P(q, k)", _figure(summary.logp_on_context))
    table.add_row("tokens sampled", f"{summary.tokens:,}")
    output.print(table, soft_wrap=False)


def _figure(value: float) -> str:
    """Two decimals; ``-`` if nothing was accepted."""
    return f"{round(value, 2) + 0.0:.2f}" if math.isfinite(value) else "-"
