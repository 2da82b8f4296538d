"""``rephrase-rl experts``: expert solutions from a teacher, verified, as a data set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rephrase_rl.cli.console import output, print_json
from rephrase_rl.cli.data import CONFIG_SUFFIXES
from rephrase_rl.cli.options import JsonOption, SetOption
from rephrase_rl.cli.step_line import progress_bar
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from rephrase_rl.assembly import ExpertsSummary


def experts(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Data file, dataset folder, hub id or lab:NAME with the problems; or a YAML file "
            "that says all the rest.",
            show_default=False,
        ),
    ],
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Who solves: the address of an OpenAI-compatible endpoint "
            "(https://host/v1), a local model folder, hub id or lab:base.",
            show_default=False,
        ),
    ] = None,
    teacher_model: Annotated[
        str | None,
        typer.Option(help="Name of the model at the endpoint.", show_default=False),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("-k", "--samples", min=1, help="Samples for each problem.")
    ] = None,
    keep_unsolved: Annotated[
        bool,
        typer.Option(
            "--keep-unsolved", help="Write problems without a correct sample too, without expert."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Data set to write: .jsonl or .parquet.", show_default=False)
    ] = None,
    overrides: SetOption = [],
    as_json: JsonOption = False,
) -> None:
    """Sample, verify and keep the best solution of each problem; goes on where it stopped."""
    from rephrase_rl.config import parse_experts

    is_config = Path(target).suffix in CONFIG_SUFFIXES
    source: Path | dict[str, Any] = Path(target) if is_config else {"data": {"path": target}}
    changes = {
        "teacher": _teacher(teacher, teacher_model),
        "samples_per_problem": samples,
        "keep_unsolved": keep_unsolved or None,
        "output": None if out is None else str(out),
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    config = parse_experts(source, changes, overrides)

    from rephrase_rl.assembly import sample_experts

    with progress_bar(unit="problems") as progress:
        task = progress.add_task("sampling experts", total=None)
        summary = sample_experts(
            config,
            command=["rephrase-rl", *sys.argv[1:]],
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        from rephrase_rl.records import to_json

        print_json(to_json(summary))
    else:
        _print(summary)


def _teacher(teacher: str | None, model: str | None) -> dict[str, Any] | None:
    """The teacher as a configuration has it; None if the command line says nothing of it."""
    named = {} if model is None else {"model": model}
    if teacher is None:
        return named or None
    if teacher.startswith(("http://", "https://")):
        return {"kind": "endpoint", "base_url": teacher, **named}
    if named:
        raise ConfigError(
            f"found --teacher {teacher}, a model on this machine, with --teacher-model; required: "
            "that belongs to an endpoint; do this: leave it out, or give an endpoint's address, "
            "such as https://host/v1"
        )
    return {"kind": "model", "path": teacher}


def _print(summary: ExpertsSummary) -> None:
    table = Table("problems", "", title=str(summary.output))
    for label, count in (
        ("with a correct solution", summary.solved),
        ("without", summary.unsolved),
        ("written", summary.written),
    ):
        table.add_row(label, f"{count:,} of {summary.problems:,}")
    table.add_section()
    for outcome, count in summary.outcomes.items():
        table.add_row(f"samples {outcome}", f"{count:,} of {summary.samples:,}")
    table.add_section()
    table.add_row("tokens of prompts", f"{summary.prompt_tokens:,}")
    table.add_row("tokens sampled", f"{summary.completion_tokens:,}")
    if summary.cost is not None:
        table.add_row("cost", f"{summary.cost:,.4f}")
    if summary.now_requests:
        table.add_row("requests sent now", f"{summary.now_requests:,}")
    output.print(table, soft_wrap=False)
