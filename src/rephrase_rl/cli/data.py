"""``rephrase-rl data check``: look at the data and the exact prompts before training on them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rephrase_rl.cli.console import messages, output
from rephrase_rl.cli.options import SetOption

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig

data_app = typer.Typer(help="Look at data.", no_args_is_help=True)

CONFIG_SUFFIXES = (".yaml", ".yml")
LENGTHS = ("solve_tokens", "rephrase_tokens", "expert_tokens")


@data_app.callback()
def _group() -> None:
    """Keeps ``check`` a command of its own: typer would otherwise drop the only one's name."""


@data_app.command("check")
def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Data file, dataset folder or hub id; or a run configuration (YAML), which says "
            "all the rest.",
            show_default=False,
        ),
    ],
    mapping: Annotated[
        str, typer.Option(help="Which column is what: canonical, gsm8k, trl.")
    ] = "canonical",
    model: Annotated[
        str | None,
        typer.Option(help="Model whose tokenizer renders the prompts; without it, schema only."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a Hugging Face dataset.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Problems to look at.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Problems whose prompts are printed.")] = 2,
    overrides: SetOption = [],
) -> None:
    """Check every row, then show token lengths and the exact prompts of the first problems."""
    from rephrase_rl.config import load_config, parse_config
    from rephrase_rl.errors import ConfigError

    if Path(target).suffix in CONFIG_SUFFIXES:
        _show_prompts(load_config(target, overrides), rows, limit)
        return
    if overrides:
        raise ConfigError(
            f"--set: found {overrides[0]!r} with a data file; required: a run configuration to "
            "change; do this: use the other options, or give a YAML file"
        )
    data = {"path": target, "mapping": mapping, "split": split, "limit": limit}
    # The method decides nothing here; any preset with a rephrase prompt shows both prompts.
    config = parse_config({"method": "repo", "model": {"path": model or "unused"}, "data": data})
    if model is None:
        _count(config)
    else:
        _show_prompts(config, rows, limit)


def _count(config: RunConfig) -> None:
    from rephrase_rl.assembly import load_data

    problems = load_data(config.data[0])
    with_expert = sum(problem.expert_solution is not None for problem in problems)
    output.print(
        f"{len(problems)} problems, every row valid; {with_expert} with an expert solution. "
        "Give --model to see token lengths and prompts."
    )


def _show_prompts(config: RunConfig, rows: int, limit: int | None) -> None:
    from rephrase_rl.assembly import prompt_preview

    preview: Sequence[Mapping[str, Any]] = prompt_preview(config, rows=limit or 1000)
    if not preview:
        messages.print("no problems")
        return
    for row in preview[:rows]:
        output.print(f"--- problem {row['problem_id']}: solve prompt\n{row['solve_prompt']}")
        if row["rephrase_prompt"] is not None:
            output.print(
                f"--- problem {row['problem_id']}: rephrase prompt\n{row['rephrase_prompt']}"
            )
    table = Table("tokens", "problems", "median", "longest", title="token lengths")
    for name in LENGTHS:
        lengths = [row[name] for row in preview if row[name] is not None]
        if lengths:
            label = name.removesuffix("_tokens")
            median = f"{statistics.median(lengths):g}"
            table.add_row(label, str(len(lengths)), median, str(max(lengths)))
    output.print(table, soft_wrap=False)
