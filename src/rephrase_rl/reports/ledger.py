"""The hard-sample ledger in a report: counts, two panels, and utilisation if it was measured."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.errors import ConfigError, EvaluationError
from rephrase_rl.guidance.ledger import Ledger, LedgerSummary, summarise, summarise_datasets
from rephrase_rl.reports.curves import draw_line, render_grid, share_axis
from rephrase_rl.reports.figures_style import SERIES
from rephrase_rl.reports.series import smoothing_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.guidance.ledger import ProblemHistory
    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory

UTILISATION_FACTS = frozenset(
    {
        *("num_problems", "num_hard_problems", "samples_per_problem", "step", "solved"),
        *("base_solved", "solved_gain", "accuracy", "base_accuracy", "accuracy_gain"),
    }
)
PANEL_TITLES = ("Problems that began all failed", "Own rollouts at later visits")


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
    svg: str
    """Empty if no problem began all failed."""
    utilisations: tuple[Mapping[str, JSON], ...]
    """As measured by ``rephrase-rl ledger RUN --utilisation``, one per number of samples."""
    datasets: Mapping[str, LedgerSummary] = field(default_factory=dict)
    """Each data set's own counts, in a run with several."""


def view_ledger(run: RunDirectory) -> LedgerView:
    """Gather the section of one run.

    Raises:
        DataError: Steps of ``groups.jsonl`` go backwards.
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
        ledger = Ledger.of_run(run)
    except ConfigError:
        return LedgerView(None, "", measured)
    return LedgerView(summarise(ledger), draw_ledger(ledger), measured, summarise_datasets(ledger))


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


def draw_ledger(ledger: Ledger) -> str:
    """Draw counts and later pass fractions as SVG; empty if no problem began all failed."""
    counts = cumulative_counts(ledger)
    if not counts or not counts[-1].seen:
        return ""
    later = later_pass_fractions(ledger)

    def fill(axes: Sequence[Any]) -> None:
        _draw_counts(axes[0], counts)
        if later:
            _draw_later(axes[1], later)

    return render_grid(1, 1 + bool(later), fill)


def _draw_counts(ax: Any, counts: Sequence[LedgerCounts]) -> None:
    steps = [entry.step for entry in counts]
    lines = (
        ("all failed at first", [entry.seen for entry in counts], SERIES[5], "--"),
        ("with an injection", [entry.intervened for entry in counts], SERIES[0], "-"),
        ("solved unguided", [entry.solved for entry in counts], SERIES[2], "-"),
    )
    for label, values, color, style in lines:
        # A count holds until the next step: no slope between steps.
        ax.plot(
            steps,
            values,
            color=color,
            linestyle=style,
            linewidth=1.6,
            label=label,
            drawstyle="steps-post",
        )
    ax.set_title(PANEL_TITLES[0])
    ax.set_xlabel("step")
    ax.set_ylabel("problems so far")
    ax.set_ylim(bottom=0)
    ax.legend(loc="best")


def _draw_later(ax: Any, later: Sequence[tuple[int, float]]) -> None:
    steps, means = [step for step, _ in later], [mean for _, mean in later]
    draw_line(ax, steps, means, smoothing_window(len(steps)), SERIES[2], "own pass share")
    ax.set_title(PANEL_TITLES[1])
    ax.set_xlabel("step")
    ax.set_ylabel("share that passes")
    share_axis(ax)


def _hard(ledger: Ledger) -> list[ProblemHistory]:
    return [history for history in ledger if history.initially_all_failed]
