"""``rephrase-rl export``: a run, or its policy, as a folder that other programs take."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rephrase_rl.cli.console import output
from rephrase_rl.cli.options import SetOption, TrustOption

export_app = typer.Typer(
    help="Write a run for another engine, or its policy as whole weights.",
    no_args_is_help=True,
    add_completion=False,
)


@export_app.callback()
def _export() -> None:
    """Write a run for another engine, or its policy as whole weights."""


class NumberFormat(StrEnum):
    """Of written weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@export_app.command("verl")
def export_verl(
    config_or_run: Annotated[
        Path,
        typer.Argument(metavar="CONFIG_OR_RUN", help="Configuration file, or a run directory."),
    ],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    overrides: SetOption = [],
    trust: TrustOption = False,
) -> None:
    """Write data, launch script and plug-in for a cluster where verl 0.9.1 is installed."""
    from rephrase_rl.config import load_config, require_trust

    is_run = config_or_run.is_dir()
    config = load_config(config_or_run / "config.yaml" if is_run else config_or_run, overrides)
    if is_run and not trust:
        require_trust(config, config_or_run)

    from rephrase_rl.assembly.verl.exporting import export_run

    written = export_run(config, folder, command=["rephrase-rl", *sys.argv[1:]])
    output.print("\n".join(f"wrote {name}" for name in written))
    output.print(f"copy {folder} to the cluster and start {folder.name}/launch.sh there")


@export_app.command("merged")
def export_merged(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_RUN",
            help="Run directory, checkpoint, adapter, model, GGUF file or hub id.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="New folder.")],
    dtype: Annotated[
        NumberFormat,
        typer.Option("--dtype", help="Of the written weights; bfloat16 rounds what was learned."),
    ] = NumberFormat.FLOAT32,
) -> None:
    """Write a policy as whole weights with its tokenizer; an adapter is merged into its model."""
    from rephrase_rl.assembly.merging import write_whole_policy

    base = write_whole_policy(model, folder, dtype=dtype.value)
    made = f"{model}, whole already" if base is None else f"{model} merged into {base.path}"
    output.print(f"{made}: wrote {folder} in {dtype.value}")
