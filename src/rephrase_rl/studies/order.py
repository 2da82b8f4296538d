"""The ranked list of cells, and which of them is next.

Pure: made from the study and the summaries that are there. A cell of the study proper waits for
the sweep of its arm in its condition, which may grow by further rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.config.study import BASE_ARM
from rephrase_rl.studies.cells import (
    ANY,
    Cell,
    at_rate,
    base_cell,
    condition_expert,
    pretraining_seed_of,
    rate_arm,
)
from rephrase_rl.studies.selection import further_rate, selected_rate, validated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.config.study import OrderConfig, SweepConfig
    from rephrase_rl.records import JSON

SWEPT_REWRITER = "good"
"""Rates are found with policies that rewrite well, and used with the others too."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one entry of the order is."""

    entry: str
    finished: int
    open: int
    """Cells whose learning rate is known and that have not been run."""
    waiting: int
    """Cells that wait for a sweep."""


def planned(
    study: StudyConfig, entry: OrderConfig, summaries: Mapping[str, Mapping[str, JSON]]
) -> Iterator[Cell | None]:
    """Cells of an entry, seed after seed; None for one whose rate is not known yet."""
    if entry.kind == "sweep":
        yield from _sweep(study, entry, summaries)
        return
    for seed in range(entry.first_seed, entry.first_seed + entry.seeds):
        for rewriter in entry.rewriters:
            for protocol in entry.protocols:
                for arm in entry.arms:
                    for expert in entry.experts:
                        cell = _cell(study, Cell(arm, protocol, expert, rewriter, seed))
                        yield from _rated(study, cell, entry.kind, summaries)


def starting_seed(study: StudyConfig, cell: Cell) -> int:
    """Pretraining seed of the policy that a cell starts from, or is."""
    return cell.seed if cell.arm == BASE_ARM else pretraining_seed_of(study, cell.seed)


def _cell(study: StudyConfig, cell: Cell) -> Cell:
    if cell.arm == BASE_ARM:
        return base_cell(cell.rewriter, pretraining_seed_of(study, cell.seed))
    expert = condition_expert(study, cell.arm, cell.expert)
    return Cell(cell.arm, cell.protocol, expert, cell.rewriter, cell.seed)


def _sweep(
    study: StudyConfig, entry: OrderConfig, summaries: Mapping[str, Mapping[str, JSON]]
) -> Iterator[Cell]:
    for protocol in entry.protocols:
        for expert in entry.experts:
            for arm in entry.arms:
                yield from sweep_cells(study, arm, protocol, expert, summaries)


def sweep_cells(
    study: StudyConfig,
    arm: str,
    protocol: str,
    expert: str,
    summaries: Mapping[str, Mapping[str, JSON]],
) -> list[Cell]:
    """The sweep of an arm in a condition, as far as it is known: further rates come last."""
    seen, sweep = condition_expert(study, arm, expert), sweep_of(study)
    cell = Cell(arm, protocol, seen, SWEPT_REWRITER, sweep.seed, sweep=True)
    cells = [at_rate(cell, rate) for rate in sweep.learning_rates]
    while all(known.cell_id in summaries for known in cells):
        outcomes = [validated(summaries[known.cell_id]) for known in cells]
        further = further_rate(outcomes, sweep)
        if further is None:
            break
        cells.append(at_rate(cell, further))
    return cells


def sweep_of(study: StudyConfig) -> SweepConfig:
    """The sweep of a study that has arms without a rate."""
    assert study.sweep is not None  # noqa: S101  (narrows the type: the configuration asks for it)
    return study.sweep


def chosen_rate(
    study: StudyConfig,
    arm: str,
    protocol: str,
    expert: str,
    summaries: Mapping[str, Mapping[str, JSON]],
    *,
    free: bool = False,
) -> float | None:
    """The learning rate of an arm in a condition; None while its sweep is not finished.

    One that the study gives is that, wherever it is asked for.
    Where every rate of a finished sweep costs more than allowed, it is the lowest.
    """
    swept = rate_arm(study, arm)
    given = study.arms[swept].rate
    if given is not None:
        return given
    sweep = sweep_of(study)
    cells = sweep_cells(study, swept, protocol, expert, summaries)
    if not all(cell.cell_id in summaries for cell in cells):
        return None
    outcomes = [validated(summaries[cell.cell_id]) for cell in cells]
    limit = None if free else sweep.retention_loss
    rate = selected_rate(outcomes, limit)
    return min(outcome.rate for outcome in outcomes) if rate is None else rate


def _rated(
    study: StudyConfig, cell: Cell, kind: str, summaries: Mapping[str, Mapping[str, JSON]]
) -> Iterator[Cell | None]:
    if cell.arm == BASE_ARM:
        yield cell
        return
    where = (study, cell.arm, cell.protocol, cell.expert)
    if cell.expert == ANY:
        where = (study, cell.arm, cell.protocol, "alien")
    rate = chosen_rate(*where, summaries)
    free = chosen_rate(*where, summaries, free=True)
    if rate is None or free is None:
        yield None
    elif kind == "main":
        yield at_rate(cell, rate)
    elif free != rate:
        yield at_rate(cell, free)


def remaining(
    study: StudyConfig,
    summaries: Mapping[str, Mapping[str, JSON]],
    is_ready: Callable[[Cell], bool] = lambda _: True,
) -> Iterator[Cell]:
    """Cells that can be run now, by rank, each once.

    Args:
        study: The study.
        summaries: Of finished cells.
        is_ready: Whether the starting policy of a cell is there. Within an entry of the order cells
            whose policy has to be made first come after the others.
    """
    seen = set(summaries)
    for entry in study.order:
        cells = [c for c in planned(study, entry, summaries) if c and c.cell_id not in seen]
        for cell in sorted(dict.fromkeys(cells), key=lambda cell: not is_ready(cell)):
            seen.add(cell.cell_id)
            yield cell


def progress(study: StudyConfig, summaries: Mapping[str, Mapping[str, JSON]]) -> list[Progress]:
    """How far every entry is, by rank."""
    table = []
    for entry in study.order:
        cells = list(planned(study, entry, summaries))
        known = {cell.cell_id for cell in cells if cell is not None}
        done = sum(name in summaries for name in known)
        conditions = [entry.protocols, entry.experts, entry.rewriters, entry.arms]
        label = f"{entry.kind}: " + " | ".join(" ".join(names) for names in conditions)
        table.append(Progress(label, done, len(known) - done, cells.count(None)))
    return table
