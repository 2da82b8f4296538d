"""The table of ignitions: when own success takes over in each condition, and what was foretold."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from rephrase_rl.studies.ignition import (
    FIRST_STEPS,
    GROUP,
    foresight,
    level_of,
    observe,
    usual_error,
)
from rephrase_rl.studies.pages import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rephrase_rl.records import JSON
    from rephrase_rl.studies.ignition import Ignition

ARM = "repo"
"""The arm whose runs are told of: its injected texts are rewrites."""


def ignition_table(summaries: Iterable[Mapping[str, JSON]], last: int) -> list[str]:
    """One row for each condition and learning rate, and one for all runs.

    The level of a row is the median of the levels at which the runs of all other rows ignite, so no
    run is foretold by a number that it had a part in.

    Args:
        summaries: Finished cells.
        last: Steps of a run.
    """
    found = [observe(summary) for summary in summaries if summary["cell"]["arm"] == ARM]
    rows: dict[tuple[str, str], list[Ignition]] = {}
    for run in sorted((run for run in found if run is not None), key=_condition):
        rows.setdefault(_condition(run), []).append(run)
    lines = []
    for condition, own in rows.items():
        others = {name: runs for name, runs in rows.items() if name != condition}
        level = level_of(run for runs in others.values() for run in runs)
        alike = [run for name, runs in others.items() if name[1] == condition[1] for run in runs]
        lines.append([*_row(condition, own, level, last), _number(usual_error(own, alike))])
    head = ["condition", "rate", "runs", "ignite", "step", "accepted rewrites until then"]
    head += [
        "after the first five",
        "level, nats",
        "error at ln G",
        "level of the other rows",
        "error",
    ]
    return table([*head, "foretold", "false alarms", "error of the usual step"], lines)


def _condition(run: Ignition) -> tuple[str, str]:
    cell = run.cell
    name = f"{cell['protocol']}, {cell['expert']} expert, {cell['rewriter']} rewriter"
    return name, f"{cell['rate']:.1e}"


def _row(
    condition: tuple[str, str], runs: Sequence[Ignition], level: float | None, last: int
) -> list[str]:
    steps = [run.step for run in runs if run.step is not None]
    rewrites = [run.rewrites for run in runs if run.rewrites is not None]
    levels = [round(run.level, 1) for run in runs if run.level is not None]
    plain = foresight(runs, math.log(GROUP), last)
    shown = [
        *condition,
        str(plain.runs),
        str(plain.ignited),
        _spread(steps),
        _spread(rewrites),
        str(sum(step >= FIRST_STEPS for step in steps)),
        _spread(levels),
        _number(plain.error),
    ]
    if level is None:
        return [*shown, "", "", "", ""]
    seen = foresight(runs, level, last)
    told = [
        f"{seen.foretold} of {seen.ignited}",
        f"{seen.false_alarms} of {seen.runs - seen.ignited}",
    ]
    return [*shown, f"{level:.1f}", _number(seen.error), *told]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _spread(values: Sequence[float]) -> str:
    """Median, smallest and largest; nothing where there is no value.

    Example:
        >>> _spread([3, 9, 4])
        '4 (3 to 9)'
    """
    return f"{median(values):g} ({min(values):g} to {max(values):g})" if values else ""
