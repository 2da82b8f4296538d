"""``rephrase-rl mine``: pass rates of problems, and the subset that is hard for a model."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rephrase_rl.cli.console import messages, output, print_json
from rephrase_rl.cli.interruption import told_what_is_kept
from rephrase_rl.cli.options import JsonOption, SamplingEngine, SetOption
from rephrase_rl.cli.result_table import interval_text
from rephrase_rl.cli.step_line import progress_bar
from rephrase_rl.cli.targets import config_of_target

if TYPE_CHECKING:
    from rephrase_rl.assembly import MiningSummary

BAR_WIDTH = 40
"""Characters of the longest bar."""
MANY_UNSCORABLE = 0.1
"""Share of samples without a verdict from which rates are of little use."""


def mine(  # noqa: PLR0913 - typer makes one option of each parameter
    target: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG|DATA",
            help="Run configuration (YAML), asked as its training asks; or data file, dataset "
            "folder, hub id, lab:hard ...; columns with other names need a mapping, such as "
            "--set data.mapping=gsm8k.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the job; one that is there is gone on with."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Model that answers: run, local folder, hub id or lab:base. By default the "
            "configuration's.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("-k", "--samples", min=1, help="Completions for each problem.")
    ] = 8,
    low: Annotated[float, typer.Option(min=0, max=1, help="Lowest chosen pass rate.")] = 0.0,
    high: Annotated[float, typer.Option(min=0, max=1, help="Highest chosen pass rate.")] = 0.25,
    engine: Annotated[
        SamplingEngine,
        typer.Option(help="What samples: transformers or vLLM, both in model.dtype."),
    ] = SamplingEngine.transformers,
    overrides: SetOption = [],
    as_json: JsonOption = False,
) -> None:
    """Sample every problem, judge, and write pass rates and the hard subset."""
    config = config_of_target(target, model, overrides, method="grpo")

    from rephrase_rl.assembly import mine as mine_problems
    from rephrase_rl.reports import write_pass_rate_figure

    with told_what_is_kept(out), progress_bar(unit="completions") as progress:
        task = progress.add_task("mining", total=None)
        summary = mine_problems(
            config,
            out,
            samples=samples,
            pass_range=(low, high),
            engine=engine.value,
            command=["rephrase-rl", *sys.argv[1:]],
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    write_pass_rate_figure(out)
    if as_json:
        from rephrase_rl.records import to_json

        print_json({**to_json(summary), "path": str(summary.path)})
        return
    _print_histogram(out, summary)
    _print_summary(out, summary)


def _print_histogram(out: Path, summary: MiningSummary) -> None:
    from rephrase_rl.runs.jsonl import read_lines
    from rephrase_rl.statistics import pass_rate_histogram

    rates = [line["pass_rate"] for line in read_lines(out / "problems.jsonl")]
    bins = pass_rate_histogram(
        [math.nan if rate is None else rate for rate in rates], summary.samples_per_problem
    )
    longest = max((bin.problems for bin in bins), default=0)
    table = Table("pass rate", "problems", "", title=f"pass rates of {summary.problems:,} problems")
    table.columns[0].justify = table.columns[1].justify = "right"
    for bin in bins:
        table.add_row(bin.label, f"{bin.problems:,}", "█" * bar_length(bin.problems, longest))
    output.print(table, soft_wrap=False)


def bar_length(count: int, longest: int) -> int:
    """Characters of a bar; what is there has at least one.

    Example:
        >>> bar_length(0, 100), bar_length(1, 100), bar_length(100, 100)
        (0, 1, 40)
    """
    return max(round(BAR_WIDTH * count / longest), 1) if count else 0


def _print_summary(out: Path, summary: MiningSummary) -> None:
    output.print(
        f"Mean pass rate {interval_text(summary.pass_rate)}, 95 % interval over problems; never "
        f"passed {summary.never_passed:,}, always {summary.always_passed:,}; "
        f"{summary.tokens:,} tokens sampled, {summary.truncated_samples:,} samples cut off at the "
        "length limit."
    )
    drawn = summary.problems * summary.samples_per_problem
    if summary.unscorable_samples:
        output.print(
            f"{summary.unscorable_samples:,} of {drawn:,} samples could not be judged and count "
            f"neither way; {summary.without_rate:,} problems have no rate for that reason."
        )
    if summary.unscorable_samples > MANY_UNSCORABLE * drawn:
        messages.print(
            "warning: that is more than a tenth; look at the reference answers and the verifier "
            "before you use these rates"
        )
    if summary.chosen:
        output.print(
            f"{summary.chosen:,} problems from {summary.low:g} to {summary.high:g}; train on them "
            f"with\n  data: {{path: {out / 'hard.parquet'}}}"
        )
    else:
        output.print(
            f"No problem lies from {summary.low:g} to {summary.high:g}, so there is no "
            "hard.parquet; ask again with another --low or --high: nothing is sampled anew."
        )
