"""The hard-sample ledger in a report: counts, curves, and utilisation if it was measured."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.errors import ConfigError, EvaluationError
from rephrase_rl.guidance.ledger import (
    LedgerSummary,
    require_all_groups,
    summarise,
    summarise_datasets,
)

if TYPE_CHECKING:
    from rephrase_rl.guidance.ledger import Ledger, ProblemHistory
    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory

UTILISATION_FACTS = frozenset(
    {
        *("num_problems", "num_hard_problems", "samples_per_problem", "step", "solved"),
        *("base_solved", "solved_gain", "accuracy", "base_accuracy", "accuracy_gain"),
    }
)


class LedgerCounts(NamedTuple):
    """Problems that began all failed, cumulated up to and including a step."""

    step: int
    seen: int
    """Whose all-failed first visit has been."""
    intervened: int
    """That have had an injection."""
    solved: int
    """That have had an own success."""


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the section of the ledger shows."""

    summary: LedgerSummary | None
    """None: the run did not keep all groups."""
    utilisations: tuple[Mapping[str, JSON], ...]
    """As measured by ``rephrase-rl ledger RUN --utilisation``, one per number of samples."""
    datasets: Mapping[str, LedgerSummary] = field(default_factory=dict)
    """Each data set's own counts, in a run with several."""


def view_ledger(run: RunDirectory, ledger: Ledger) -> LedgerView:
    """Gather the section of one run.

    Args:
        run: For what was measured, and for whether all groups were kept.
        ledger: Of all recorded groups of the run.

    Raises:
        EvaluationError: A measured utilisation is not whole.
    """
    measured = tuple(
        entry.result["utilisation"]
        for entry in run.evaluations()
        if isinstance(entry.result, Mapping) and entry.result.get("utilisation") is not None
    )
    if any(found.get(name) is None for found in measured for name in UTILISATION_FACTS):
        raise EvaluationError(
            f"{run.path}: found a utilisation without {', '.join(sorted(UTILISATION_FACTS))}; all "
            "of them are required: measure it again with `rephrase-rl ledger RUN --utilisation`"
        )
    try:
        require_all_groups(run)
    except ConfigError:
        return LedgerView(None, measured)
    return LedgerView(summarise(ledger), measured, summarise_datasets(ledger))


def cumulative_counts(ledger: Ledger) -> list[LedgerCounts]:
    """Count the initially all-failed problems step by step; steps without any group are left out.

    Returns:
        One entry per step at which a group was recorded, in order; each count never falls.
    """
    hard = _hard(ledger)
    steps = sorted({visit.step for history in ledger for visit in history.visits})
    seen = [history.scored_visits[0].step for history in hard]
    intervened = [
        next(visit.step for visit in history.visits if visit.injected)
        for history in hard
        if history.interventions
    ]
    solved = [solve.step for history in hard if (solve := history.first_unguided_solve)]
    events = [sorted(when) for when in (seen, intervened, solved)]
    return [LedgerCounts(step, *(bisect_right(when, step) for when in events)) for step in steps]


def later_pass_fractions(ledger: Ledger) -> list[tuple[int, float]]:
    """Mean own pass fraction per step of the initially all-failed problems that come again.

    First visits are left out: by the choice of these problems they are 0.
    """
    by_step: dict[int, list[float]] = {}
    for history in _hard(ledger):
        for visit in history.scored_visits[1:]:
            by_step.setdefault(visit.step, []).append(visit.pass_fraction)
    return [(step, fmean(by_step[step])) for step in sorted(by_step)]


def _hard(ledger: Ledger) -> list[ProblemHistory]:
    return [history for history in ledger if history.initially_all_failed]
