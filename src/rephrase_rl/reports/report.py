"""The report of one run: card, curves, groups and the page that ties them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.reports import pages
from rephrase_rl.reports.budgets import measure_budget
from rephrase_rl.reports.card import build_card
from rephrase_rl.reports.curves import draw_run
from rephrase_rl.reports.evaluations import read_evaluations
from rephrase_rl.reports.figures_style import darken
from rephrase_rl.reports.group_selection import select_groups
from rephrase_rl.reports.group_view import view_groups
from rephrase_rl.reports.ledger import view_ledger
from rephrase_rl.reports.series import smoothing_window
from rephrase_rl.runs import RunDirectory
from rephrase_rl.runs.atomic import write_bytes, write_text
from rephrase_rl.runs.jsonl import encode

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from rephrase_rl.records import JSON
    from rephrase_rl.reports.curves import Figure
    from rephrase_rl.reports.group_view import GroupView

MAX_GROUPS = 120
"""Groups on one page by default; the page says by which rule they were chosen."""


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """What ``write_report`` wrote; ``curves`` is None if the run has no figures to draw."""

    index: Path
    card_markdown: Path
    card_json: Path
    groups: Path
    curves: Path | None


def write_report(run_dir: str | os.PathLike[str], *, max_groups: int = MAX_GROUPS) -> ReportPaths:
    """Write ``report/`` of a run: ``index.html``, ``groups.html``, ``card.{md,json}`` and curves.

    Reads the run directory and nothing else, so a copied folder is enough. May be called while the
    run goes on; the report then says that the run has not finished.

    Args:
        run_dir: Folder of the run.
        max_groups: Most groups shown on the page of groups.

    Returns:
        The files written. ``curves-dark.svg`` lies beside ``curves.svg``.

    Raises:
        CheckpointError: There is no run, or a file of it is damaged.
        DataError: Steps of ``groups.jsonl`` go backwards.
        EvaluationError: An evaluation result lacks its estimate.
    """
    run = RunDirectory.open(run_dir)
    steps = run.steps()
    evaluations = read_evaluations(run)
    selection = select_groups(run, max_groups)
    budget = measure_budget(run, steps, evaluations, selection.tally)
    card = build_card(run, budget, evaluations, selection.tally)
    figure = draw_run(steps, evaluations)
    views = view_groups(selection)
    ledger = view_ledger(run)

    paths = _write_files(run.report, card, figure)
    write_text(
        paths.groups,
        pages.render_page("groups.html.j2", card=card, views=views, selection=selection),
    )
    write_text(
        paths.index,
        pages.render_page(
            "index.html.j2",
            card=card,
            figure=figure,
            curves_light=pages.embed_svg(figure.svg),
            curves_dark=pages.embed_svg(darken(figure.svg)),
            window=smoothing_window(len(steps)),
            selection=selection,
            ledger=ledger,
            ledger_light=pages.embed_svg(ledger.svg),
            ledger_dark=pages.embed_svg(darken(ledger.svg)),
            example=_example(views),
        ),
    )
    return paths


def _write_files(folder: Path, card: dict[str, JSON], figure: Figure) -> ReportPaths:
    """Write card and curves; an older figure goes if there is nothing to draw any more."""
    paths = ReportPaths(
        index=folder / "index.html",
        card_markdown=folder / "card.md",
        card_json=folder / "card.json",
        groups=folder / "groups.html",
        curves=folder / "curves.svg" if figure.svg else None,
    )
    write_bytes(paths.card_json, encode(card, indent=2) + b"\n")
    write_text(paths.card_markdown, pages.render_markdown("card.md.j2", card=card))
    for name, svg in (("curves.svg", figure.svg), ("curves-dark.svg", darken(figure.svg))):
        if svg:
            write_text(folder / name, svg)
        else:
            (folder / name).unlink(missing_ok=True)
    return paths


def _example(views: list[GroupView]) -> GroupView | None:
    """Return the group the cover shows: the last rescued one, else the last with an injection."""
    for wanted in (lambda v: v.record.rescued, lambda v: v.record.slot is not None):
        chosen = [view for view in views if wanted(view)]
        if chosen:
            return chosen[-1]
    return None
