"""``rephrase-rl train``: one run of any method."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rephrase_rl.cli.console import messages, output, quoted
from rephrase_rl.cli.options import ConfigArgument, SetOption
from rephrase_rl.cli.result_table import print_results
from rephrase_rl.cli.step_line import StepDisplay
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig


class Engine(StrEnum):
    """What trains."""

    TRL = "trl"
    VERL = "verl"


def train(
    config_path: ConfigArgument,
    overrides: SetOption = [],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
    resume_from: Annotated[
        str | None,
        typer.Option(
            "--resume-from",
            metavar="STEP",
            help="Go on from the checkpoint of this step, or from the newest undamaged one "
            "(last-whole); later ones are removed.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run that is already there.")
    ] = False,
    engine: Annotated[
        Engine, typer.Option("--engine", help="What trains: TRL here, or verl on a Ray cluster.")
    ] = Engine.TRL,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Read configuration, data and tokenizer, print what the run would be, and stop: "
            "no weights, nothing sampled, nothing written. With --engine verl: print the launch, "
            "from the configuration alone.",
        ),
    ] = False,
) -> None:
    """Train one run, evaluate it and leave a run directory."""
    from rephrase_rl.config import load_config

    config = load_config(config_path, overrides)
    run_path = run_path_of(config, config_path)
    if engine is Engine.VERL:
        if resume_from is not None:
            raise ConfigError(
                "found --resume-from with --engine verl, which knows its last checkpoint alone; "
                "use --resume, or set trainer.resume_mode and trainer.resume_from_path of verl "
                "under verl.overrides"
            )
        _train_on_verl(config, run_path, resume=resume, overwrite=overwrite, dry_run=dry_run)
        return
    if dry_run:
        from rephrase_rl.assembly import dry_run as look_at
        from rephrase_rl.cli.dry_run_report import print_dry_run

        print_dry_run(look_at(config), run_path)
        return

    from rephrase_rl.assembly import train_run

    start = config.init_from or config.model.path
    output.print(f"{config.method} on {start}, run directory {run_path}")
    with StepDisplay(config.method) as display:
        summary = train_run(
            config,
            run_path=run_path,
            command=["rephrase-rl", *sys.argv[1:]],
            resume=resume,
            resume_from=resume_from,
            overwrite=overwrite,
            on_step=display,
            on_progress=display.show_evaluation,
        )
    if summary.ended_early is not None:
        output.print(f"training ended early; {summary.ended_early}")
    if summary.evaluations:
        print_results({"result": summary.evaluations})
    output.print(
        f"{summary.generated_tokens:,} tokens generated in {summary.wall_s:.0f} s; look at it with:"
        f"\n  rephrase-rl report {quoted(summary.run_path)}"
    )


def _train_on_verl(
    config: RunConfig, run_path: Path, *, resume: bool, overwrite: bool, dry_run: bool
) -> None:
    from rephrase_rl.assembly.verl.launching import plan_launch, train_on_verl

    launch = plan_launch(config, run_path)
    if launch.unused:
        messages.print(f"not used by verl: {', '.join(launch.unused)}")
    if dry_run:
        output.print(launch.shell())
        return
    output.print(f"{config.method} on verl, run directory {run_path}")
    train_on_verl(
        config,
        run_path=run_path,
        command=["rephrase-rl", *sys.argv[1:]],
        resume=resume,
        overwrite=overwrite,
    )
    output.print(f"done; look at it with:\n  rephrase-rl report {quoted(run_path)}")


def run_path_of(config: RunConfig, config_path: Path) -> Path:
    """The run directory: the configured one, or one named after the configuration file.

    The configuration that lies in a run directory is that run's, so ``--resume`` finds it.
    """
    if config.output_dir:
        return Path(config.output_dir)
    if config_path.name == "config.yaml" and (config_path.parent / "manifest.json").is_file():
        return config_path.parent
    # Of a file called `...yaml` the stem is `..`.
    return Path("runs") / (config_path.stem.strip(".") or "run")
