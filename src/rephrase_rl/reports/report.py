"""The report of one run: the card, the curves, and the viewer that ties them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.reports import pages
from rephrase_rl.reports.budgets import measure_budget
from rephrase_rl.reports.card import build_card
from rephrase_rl.reports.curves import draw_run
from rephrase_rl.reports.evaluations import read_evaluations
from rephrase_rl.reports.figures_style import darken
from rephrase_rl.reports.known_faults import known_faults
from rephrase_rl.reports.ledger import view_ledger
from rephrase_rl.reports.model_card import render_model_card
from rephrase_rl.reports.series import smoothing_window
from rephrase_rl.reports.viewer.charts import ledger_charts, run_charts
from rephrase_rl.reports.viewer.contents import page_contents
from rephrase_rl.reports.viewer.embedding import early_script, policy_hash, script
from rephrase_rl.reports.viewer.survey import GROUPS_PER_PAGE, survey_groups
from rephrase_rl.runs import RunDirectory
from rephrase_rl.runs.atomic import write_bytes, write_text
from rephrase_rl.runs.jsonl import encode

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from rephrase_rl.records import JSON
    from rephrase_rl.reports.curves import Figure


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """What ``write_report`` wrote; ``curves`` is None if the run has no figures to draw."""

    index: Path
    """The viewer: open this."""
    card_markdown: Path
    card_json: Path
    model_card: Path
    """For the hub, beside the weights there as ``README.md``."""
    curves: Path | None
    parts: tuple[Path, ...]
    """Further pages of groups, of a run that has too many for one."""


def write_report(
    run_dir: str | os.PathLike[str], *, groups_per_page: int = GROUPS_PER_PAGE
) -> ReportPaths:
    """Write ``report/`` of a run: the viewer ``index.html``, ``card.{md,json}`` and curves.

    Reads the run directory and nothing else, so a copied folder is enough. May be called while the
    run goes on; the report then says that the run has not finished. A run with more groups than fit
    into one page gets ``groups-2.html`` and so on beside the first.

    Args:
        run_dir: Folder of the run.
        groups_per_page: Most groups of one page.

    Returns:
        The files written. ``curves-dark.svg`` lies beside ``curves.svg``.

    Raises:
        CheckpointError: There is no run, or a file of it is damaged.
        DataError: A group is damaged, or steps of ``groups.jsonl`` go backwards.
        EvaluationError: An evaluation result lacks its estimate.
    """
    run = RunDirectory.open(run_dir)
    steps = run.steps()
    evaluations = read_evaluations(run)
    survey = survey_groups(run, groups_per_page)
    budget = measure_budget(run, steps, evaluations, survey.tally)
    faults = known_faults(run, steps, evaluations, survey.tally, budget)
    card = build_card(run, budget, evaluations, survey.tally, faults)
    figure = draw_run(steps, evaluations)
    ledger = view_ledger(run, survey.ledger)

    paths = _write_files(run.report, card, figure, [page.file for page in survey.pages[1:]])
    write_text(paths.model_card, render_model_card(run, card))
    charts = {
        "charts": run_charts(steps, evaluations),
        "ledger": ledger_charts(survey.ledger) if ledger.summary is not None else [],
    }
    for page in page_contents(run, survey, charts):
        html = pages.render_page(
            "viewer.html.j2",
            card=card,
            figure=figure,
            window=smoothing_window(len(steps)),
            ledger=ledger,
            has_ledger_charts=bool(charts["ledger"]),
            span=page.span,
            spans=survey.pages,
            data=page.data,
            pieces=page.pieces,
            early=early_script(),
            script=script(),
            policies=[policy_hash(early_script()), policy_hash(script())],
        )
        write_text(run.report / page.span.file, html)
    return paths


def _write_files(
    folder: Path, card: dict[str, JSON], figure: Figure, parts: list[str]
) -> ReportPaths:
    """Write card and curves; what an older report had and this one has not goes."""
    paths = ReportPaths(
        index=folder / "index.html",
        card_markdown=folder / "card.md",
        card_json=folder / "card.json",
        model_card=folder / "model_card.md",
        curves=folder / "curves.svg" if figure.svg else None,
        parts=tuple(folder / name for name in parts),
    )
    for old in folder.glob("groups*.html"):
        old.unlink()
    write_bytes(paths.card_json, encode(card, indent=2) + b"\n")
    write_text(paths.card_markdown, pages.render_markdown("card.md.j2", card=card))
    for name, svg in (("curves.svg", figure.svg), ("curves-dark.svg", darken(figure.svg))):
        if svg:
            write_text(folder / name, svg)
        else:
            (folder / name).unlink(missing_ok=True)
    return paths
