"""``rephrase-rl init``: a commented configuration for a model and a data file."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rephrase_rl.cli.columns import ColumnOption, named_columns, refuse_for_lab
from rephrase_rl.cli.console import messages, output, quoted

if TYPE_CHECKING:
    from rephrase_rl.assembly.starting import StartingPoint

SHOWN_FAULTS = 3
"""Of the faults in rows, which data check lists in full."""


class Task(StrEnum):
    """Task kinds of data that is read."""

    MATH = "math"
    CHOICE = "choice"
    FINANCE = "finance"
    TEXT = "text"


class FirstMethod(StrEnum):
    """Methods for which budgets are found out."""

    REPO = "repo"
    GRPO = "grpo"


def init(  # noqa: PLR0913 - typer makes one option of each parameter
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Policy to start from: local folder, hub id or lab:base.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Training problems: a file, a dataset folder, a hub id or lab:hard.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. By default DATA's name with .yaml, in this folder."),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            help="Mapping of the columns by name, in place of a guess; docs/data.md lists them.",
            show_default=False,
        ),
    ] = None,
    column: ColumnOption = [],
    task: Annotated[
        Task | None,
        typer.Option(
            help="What kind of answers there are, in place of a guess: it decides prompts and "
            "verifier.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        FirstMethod | None,
        typer.Option(
            help="Method to begin with. By default repo, or grpo where no row has an expert "
            "solution; others by --set method=NAME afterwards.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of a Hugging Face dataset. By default train.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is already there.")
    ] = False,
) -> None:
    """Write a first configuration: columns, task, token budgets and batch found out by looking."""
    path = out or Path(f"{_name_of(data)}.yaml")
    _refuse_existing(path, overwrite)
    refuse_for_lab(data, {"--column": column, "--mapping": mapping, "--task": task})
    named = named_columns(column)
    with messages.status("reading data, tokenizer and machine"):
        from rephrase_rl.assembly.starting import starting_point
        from rephrase_rl.assembly.starting_text import starting_yaml
        from rephrase_rl.runs.atomic import replacing

        point = starting_point(
            model, data, split=split, named=named, mapping=mapping,
            task=task and task.value, method=method and method.value,
        )  # fmt: skip
        text = starting_yaml(point, _name_of(data))
    with replacing(path) as file:
        file.write(text.encode())
    _print(point, path)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    from rephrase_rl.errors import ConfigError

    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"--out: found {str(path)!r}; required: a name that ends with .yaml; do this: add it"
        )
    if path.exists() and not overwrite:
        raise ConfigError(
            f"found {path}, which is already there; required: a new name; do this: --out "
            "OTHER.yaml, or --overwrite to replace it"
        )


def _name_of(data: str) -> str:
    """A file name from the data's: ``sets/my train.csv.gz`` gives ``my-train``."""
    last = Path(data.partition(":")[2] or data).name
    stem = re.sub(r"\.(?:jsonl|json|csv|tsv|parquet)(?:\.gz)?\Z", "", last)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:80].strip("-._")
    return plain or "run"


def _print(point: StartingPoint, path: Path) -> None:
    report, budgets = point.report, point.budgets
    reasons = ("the lab's own problems",) if point.guess is None else point.guess.reasons
    for reason in reasons:
        output.print(f"columns: {reason}")
    output.print(
        f"data: {report.problems:,} of the first {report.rows:,} rows are problems, "
        f"{report.with_expert:,} with an expert solution; task kind {point.task_kind}"
    )
    for found in report.expert_verdicts.values():
        output.print(
            f"verifier: {found.verifier} accepts {found.accepted} of {found.judged} experts"
        )
        if found.examples:
            messages.print(f"warning: not accepted, for instance: {found.examples[0]}")
    _print_faults(point)
    prompt = budgets.max_prompt_tokens
    output.print(
        f"tokens: completions up to {budgets.max_completion_length}"
        + (f", rephrase prompts up to {prompt}" if prompt is not None else "")
    )
    if budgets.left_out:
        messages.print(
            f"warning: {budgets.left_out:,} of {budgets.experts:,} experts do not fit into the "
            f"policy's context of {budgets.context} tokens with question and rewrite, and their "
            "problems train without them; take a model with a longer context, or a part of the "
            "texts (expert_part)"
        )
    if point.batch.fewer_than_usual:
        output.print(
            f"batch: {point.batch.problems} problems a step, since the data has {report.problems}"
        )
    if point.batch.fits is False:
        messages.print("warning: the estimate says that this model does not fit into the memory")
    output.print(f"wrote {path}\nnext:\n  rephrase-rl data check {quoted(path)}")
    if point.method == "grpo" and not report.with_expert:
        output.print(
            "no row has an expert solution, so nothing can be rephrased; a teacher writes some:"
        )
        output.print(
            f"  rephrase-rl experts {quoted(point.data)} --teacher MODEL_OR_URL --out k.jsonl"
        )
        return
    if point.method == "repo":
        output.print(
            f"  rephrase-rl rephrase {quoted(point.model)} {quoted(path)} --set data.0.limit=20 "
            "--out rewrites"
        )
    output.print(f"  rephrase-rl train {quoted(path)}")


def _print_faults(point: StartingPoint) -> None:
    """How many rows are faulty, and why the first of them are."""
    faults = point.report.faults
    if not faults:
        return
    rows = len({fault.row for fault in faults})
    messages.print(
        f"warning: {rows:,} row(s) with faults, and a run needs every row to be right; data check "
        "lists them"
    )
    for fault in faults[:SHOWN_FAULTS]:
        messages.print(f"  {fault}")
    if len(faults) > SHOWN_FAULTS:
        messages.print(f"  ... and {len(faults) - SHOWN_FAULTS:,} more")
