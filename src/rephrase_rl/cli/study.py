"""``rephrase-rl study``: many runs on the lab by a ranked list, resumable and unattended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from rephrase_rl.cli.console import output
from rephrase_rl.cli.options import SetOption

if TYPE_CHECKING:
    from rephrase_rl.config import StudyConfig

study_app = typer.Typer(
    no_args_is_help=True, help="Many runs on the lab by a ranked list, resumable and unattended."
)


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Study (YAML). Without it: the shipped one.", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder of runs and new summaries. By default runs/ and the study's name, with "
        "--config the file's.",
        show_default=False,
    ),
]
KnownOption = Annotated[
    Path | None,
    typer.Option(
        "--known",
        help="Folder of summaries from before; these cells are not run again. By default those "
        "under results/ of the shipped study, unless --config or --set make it another one.",
        show_default=False,
    ),
]
HoursOption = Annotated[
    float | None,
    typer.Option("--hours", min=0.0, help="Begin no run later.", show_default=False),
]
MaxRunsOption = Annotated[
    int | None,
    typer.Option("--max-runs", min=1, help="Most runs of this call.", show_default=False),
]
StatusOption = Annotated[
    bool, typer.Option("--status", help="Only say what is done and what is left.")
]


SHIPPED = {
    "claims": "Test the paper's claims: all arms, conditions and seeds of a study, most important "
    "first.",
    "ablations": "Change one block of RePO at a time: what each does to hard problems and to "
    "retention.",
    "plus": "Compare the candidate for a better default with RePO on fresh seeds.",
    "plus-ab": "The same on a task family that played no part in choosing it.",
}
"""Studies that come with the package, a command each."""


def _add_command(name: str, purpose: str) -> None:
    @study_app.command(name, help=purpose)
    def go_through(
        config: ConfigOption = None,
        out: OutOption = None,
        known: KnownOption = None,
        hours: HoursOption = None,
        max_runs: MaxRunsOption = None,
        status: StatusOption = False,
        overrides: SetOption = [],
    ) -> None:
        study = _study(name, config, overrides)
        is_another = config is not None or bool(overrides)
        folders = Folders(
            out or Path("runs", name if config is None else config.stem),
            known or (None if is_another else Path("results", name, "runs")),
        )
        _go_through(study, folders, Limits(hours, max_runs), status=status)


for _name, _purpose in SHIPPED.items():
    _add_command(_name, _purpose)


class Folders(NamedTuple):
    """Where a study lies."""

    out: Path
    known: Path | None
    """None: nothing was found before. A cell's name says nothing of blocks and steps, so summaries
    of one study do not stand for the cells of another."""

    @property
    def all_known(self) -> list[Path]:
        """The folder of known summaries, if there is one."""
        return [] if self.known is None else [self.known]


class Limits(NamedTuple):
    """Where a sitting ends."""

    hours: float | None
    max_runs: int | None


def _go_through(study: StudyConfig, folders: Folders, limits: Limits, *, status: bool) -> None:
    if status:
        _show_status(study, folders)
        return
    from rephrase_rl.studies.study import run_study

    done = run_study(
        study,
        folders.out,
        folders.all_known,
        hours=limits.hours,
        max_runs=limits.max_runs,
        on_cell=lambda name, spent: output.print(f"{spent:6.2f} h  {name}"),
        on_finished=lambda summary: output.print(f"          {outcome(summary)}"),
    )
    output.print(f"{done} runs carried out; --status shows what is left")


def outcome(summary: dict[str, Any]) -> str:
    """One line on a finished cell.

    Example:
        >>> outcome({"curve": [{"step": 0, "hard": 0.0, "easy": 1.0, "general": 1.0}]})
        'step 0: hard 0.000, easy 1.000, general 1.000'
    """
    curve = summary.get("curve")
    if not curve:
        return f"tested at steps {', '.join(summary['test'])}"
    last = curve[-1]
    scores = ", ".join(f"{name} {last[name]:.3f}" for name in ("hard", "easy", "general"))
    return f"step {last['step']}: {scores}"


def _study(name: str, config: Path | None, overrides: list[str]) -> StudyConfig:
    from rephrase_rl.config import load_study
    from rephrase_rl.studies.shipped import shipped_study

    return shipped_study(name, overrides) if config is None else load_study(config, overrides)


def _show_status(study: StudyConfig, folders: Folders) -> None:
    from rephrase_rl.studies.order import progress, remaining
    from rephrase_rl.studies.store import read_summaries
    from rephrase_rl.studies.study import SUMMARIES

    summaries = read_summaries([folders.out / SUMMARIES, *folders.all_known])
    for entry in progress(study, summaries):
        output.print(
            f"{entry.finished:4} done {entry.open:4} open {entry.waiting:4} waiting  {entry.entry}"
        )
    following = next(remaining(study, summaries), None)
    name = "nothing is left" if following is None else f"next: {following.cell_id}"
    output.print(f"{len(summaries)} summaries; {name}")
