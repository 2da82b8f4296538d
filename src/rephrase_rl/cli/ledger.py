"""``rephrase-rl ledger``: what became of the problems that a run failed at first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rephrase_rl.cli.console import output, print_json
from rephrase_rl.cli.options import JsonOption, TrustOption
from rephrase_rl.cli.result_table import interval_text
from rephrase_rl.cli.step_line import progress_bar
from rephrase_rl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.assembly.utilisation import Utilisation
    from rephrase_rl.guidance.ledger import Ledger, LedgerSummary, ProblemHistory
    from rephrase_rl.statistics import Interval

LONGEST_SHOWN = 10
"""Problems in the table of those that stay unsolved."""
DEFAULT_SAMPLES = 8


def ledger(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.", show_default=False)],
    utilisation: Annotated[
        bool,
        typer.Option(
            "--utilisation",
            help="Also ask the final and the starting policy these problems afresh, and store it.",
        ),
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(
            "-k",
            "--samples",
            min=1,
            help=f"Fresh completions for each problem; {DEFAULT_SAMPLES} if not given.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask so many of the problems, drawn at random.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of it; the run's own.")] = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count the problems that began all failed, and which of them were solved unguided later."""
    options = {"-k": samples, "--limit": limit, "--seed": seed}
    given = [name for name, value in options.items() if value is not None]
    if given and not utilisation:
        raise ConfigError(
            f"found {', '.join(given)} without --utilisation, which alone they belong to; do "
            "this: add --utilisation, or leave them out"
        )
    from rephrase_rl.guidance.ledger import Ledger
    from rephrase_rl.runs import RunDirectory

    found = Ledger.of_run(RunDirectory.open(run))
    measured = None
    if utilisation:
        measured = _measure(run, samples or DEFAULT_SAMPLES, limit, seed, trust)
    if as_json:
        print_json(_as_plain(found, measured))
        return
    _print_tables(found)
    if measured is not None:
        output.print("")
        output.print(_utilisation_table(measured), soft_wrap=False)
        output.print("Shares of fresh, unguided samples; 95 % intervals over problems.")


def _measure(
    run: Path, samples: int, limit: int | None, seed: int | None, trust: bool
) -> Utilisation:
    from rephrase_rl.assembly.utilisation import hard_sample_utilisation

    with progress_bar(unit="completions") as progress:
        tasks = {
            name: progress.add_task(f"{name} policy", total=None) for name in ("start", "final")
        }
        return hard_sample_utilisation(
            run,
            samples,
            seed=seed,
            limit=limit,
            trust=trust,
            on_progress=lambda name, done, total: progress.update(
                tasks[name], completed=done, total=total
            ),
        )


def _as_plain(found: Ledger, measured: Utilisation | None) -> dict[str, Any]:
    from rephrase_rl.guidance.ledger import summarise, summarise_datasets
    from rephrase_rl.records import to_json

    plain: dict[str, Any] = {
        "summary": to_json(summarise(found)),
        "problems": [
            to_json(history)
            | {
                "initially_all_failed": history.initially_all_failed,
                "interventions": history.interventions,
                "first_own_success": history.first_own_success,
                "first_unguided_solve": to_json(history.first_unguided_solve),
            }
            for history in found
        ],
    }
    by_dataset = summarise_datasets(found)
    if by_dataset:
        plain["by_dataset"] = to_json(by_dataset)
    if measured is not None:
        plain["utilisation"] = to_json(measured)
    return plain


def _print_tables(found: Ledger) -> None:
    from rephrase_rl.guidance.ledger import longest_unsolved, summarise, summarise_datasets

    summary = summarise(found)
    output.print(_summary_table(summary), soft_wrap=False)
    output.print(_medians_line(summary))
    by_dataset = summarise_datasets(found)
    if by_dataset:
        output.print("")
        output.print(_datasets_table(by_dataset), soft_wrap=False)
    longest = longest_unsolved(found, LONGEST_SHOWN)
    if longest:
        output.print("")
        output.print(_longest_table(longest), soft_wrap=False)


def _summary_table(summary: LedgerSummary) -> Table:
    hard, solved, unsolved = (
        summary.initially_all_failed,
        summary.solved_unguided,
        summary.never_solved,
    )
    table = Table("problems", "count", "share", title="hard-sample ledger")
    table.columns[1].justify = table.columns[2].justify = "right"
    for label, number, whole in (
        ("seen", summary.problems, None),
        ("never scored", summary.unscored, summary.problems),
        ("all failed at first", hard, summary.problems),
        ("  with an injection", summary.intervened, hard),
        ("  solved unguided later", solved, hard),
        ("    without any injection", summary.solved_without_injection, solved),
        ("  not solved", unsolved, hard),
        ("    not seen again", summary.not_seen_again, unsolved),
    ):
        share = "" if not whole else f"{number / whole:.0%}"
        table.add_row(label, str(number), share)
    return table


def _datasets_table(by_dataset: Mapping[str, LedgerSummary]) -> Table:
    table = Table(title="by data set")
    table.add_column("data set", overflow="fold")
    for column in ("seen", "all failed at first", "with an injection", "solved unguided later"):
        table.add_column(column, justify="right")
    for name, summary in by_dataset.items():
        counts = (
            summary.problems,
            summary.initially_all_failed,
            summary.intervened,
            summary.solved_unguided,
        )
        table.add_row(name, *map(str, counts))
    return table


def _medians_line(summary: LedgerSummary) -> str:
    return (
        f"Until the solve, median of {summary.solved_unguided} problems: "
        f"{_number(summary.median_visits_until_solve)} failed visits, "
        f"{_number(summary.median_injections_until_solve)} injections. "
        f"In no median, since not solved: {summary.censored}."
    )


def _longest_table(histories: list[ProblemHistory]) -> Table:
    table = Table(title="longest unsolved")
    table.add_column("problem", overflow="fold")
    for column in ("failed visits", "injections", "first step", "last step", "solved at"):
        table.add_column(column, justify="right")
    for history in histories:
        solve = history.first_unguided_solve
        table.add_row(
            history.problem_id,
            str(history.visits_unsolved),
            str(history.interventions if solve is None else solve.injections_before),
            str(history.visits[0].step),
            str(history.visits[-1].step),
            "-" if solve is None else str(solve.step),
        )
    return table


def _utilisation_table(measured: Utilisation) -> Table:
    k = measured.samples_per_problem
    of = measured.num_hard_problems
    asked = measured.num_problems
    table = Table(title=f"hard-sample utilisation after {measured.step} steps")
    table.add_column(f"{asked} problems" if asked == of else f"{asked} of {of} problems")
    for column in (f"solved in {k} samples", "samples that pass"):
        table.add_column(column, justify="right")
    for label, solved, accuracy in (
        ("final policy", measured.solved, measured.accuracy),
        ("starting policy", measured.base_solved, measured.base_accuracy),
    ):
        table.add_row(label, interval_text(solved), interval_text(accuracy))
    table.add_row("gain", _gain_text(measured.solved_gain), _gain_text(measured.accuracy_gain))
    return table


def _gain_text(gain: Interval) -> str:
    """Like ``interval_text``, with the sign of a gain."""
    text = interval_text(gain)
    return f"+{text}" if math.isfinite(gain.mean) and gain.mean > 0 else text


def _number(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "-"
