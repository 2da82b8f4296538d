"""The table of ignitions: when own success takes over in each condition, and what was foretold."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from rephrase_rl.studies.ignition import foresight, observe
from rephrase_rl.studies.pages import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rephrase_rl.records import JSON
    from rephrase_rl.studies.ignition import Ignition

ARM = "repo"
"""The arm whose runs are told of: its injected texts are rewrites."""
ALL = "all"


def ignition_table(summaries: Iterable[Mapping[str, JSON]], last: int) -> list[str]:
    """One row for each condition and learning rate, and one for all runs.

    Args:
        summaries: Finished cells.
        last: Steps of a run.
    """
    found = [observe(summary) for summary in summaries if summary["cell"]["arm"] == ARM]
    runs = [run for run in found if run is not None]
    rows: dict[tuple[str, str], list[Ignition]] = {}
    for run in sorted(runs, key=_condition):
        rows.setdefault(_condition(run), []).append(run)
    lines = [_row(condition, own, last) for condition, own in rows.items()]
    lines += [_row((ALL, ""), runs, last)] if len(rows) > 1 else []
    head = ["condition", "rate", "runs", "ignite", "step", "accepted rewrites until then"]
    head += ["foretold", "false alarms", "error, steps", "error of the median"]
    return table(head, lines)


def _condition(run: Ignition) -> tuple[str, str]:
    cell = run.cell
    name = f"{cell['protocol']}, {cell['expert']} expert, {cell['rewriter']} rewriter"
    return name, f"{cell['rate']:.1e}"


def _row(condition: tuple[str, str], runs: Sequence[Ignition], last: int) -> list[str]:
    seen = foresight(runs, last)
    steps = [run.step for run in runs if run.step is not None]
    rewrites = [run.rewrites for run in runs if run.rewrites is not None]
    return [
        *condition,
        str(seen.runs),
        str(seen.ignited),
        _spread(steps),
        _spread(rewrites),
        f"{seen.foretold} of {seen.ignited}",
        f"{seen.false_alarms} of {seen.runs - seen.ignited}",
        "" if seen.error is None else f"{seen.error:.1f}",
        "" if seen.constant_error is None else f"{seen.constant_error:.1f}",
    ]


def _spread(values: Sequence[int]) -> str:
    """Median, smallest and largest; nothing where there is no value.

    Example:
        >>> _spread([3, 9, 4])
        '4 (3 to 9)'
    """
    return f"{median(values):g} ({min(values)} to {max(values)})" if values else ""
