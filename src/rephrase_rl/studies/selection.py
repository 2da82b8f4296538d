"""Which learning rate an arm gets: highest validation accuracy on hard problems that costs little.

The rule is fixed before any run that counts (``results/PLAN.md``). Retention is the mean of the
accuracies on easy and on general problems; its loss is that of the starting policy minus that after
training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config.study import SweepConfig
    from rephrase_rl.records import JSON


@dataclass(frozen=True, slots=True)
class Validated:
    """Outcome of one run of the sweep."""

    rate: float
    hard: float
    """Validation accuracy on hard problems at the end."""
    retention_loss: float
    """Validation retention before minus at the end."""


def retention(scores: Mapping[str, float]) -> float:
    """Mean of the accuracies on easy and general problems."""
    return (scores["easy"] + scores["general"]) / 2


def validated(summary: Mapping[str, JSON]) -> Validated:
    """The outcome of a run from its summary.

    Raises:
        EvaluationError: The summary has no validation curve.
    """
    curve = summary["curve"]
    if len(curve) < 2 or curve[0]["step"] != 0:
        raise EvaluationError(
            f"summary {summary['id']} has no validation before and after training; required to "
            "select a learning rate: run the cell again"
        )
    first, last = curve[0], curve[-1]
    return Validated(summary["cell"]["rate"], last["hard"], retention(first) - retention(last))


def selected_rate(outcomes: Sequence[Validated], retention_loss: float | None) -> float | None:
    """The rate of highest hard accuracy among those that keep within the loss; ties: the lowest.

    Args:
        outcomes: One per rate.
        retention_loss: Most that the rate may cost; None: whatever it costs.

    Returns:
        The rate; None if every rate costs more.

    Example:
        >>> runs = [Validated(1e-4, 0.2, 0.01), Validated(2e-4, 0.9, 0.4)]
        >>> selected_rate(runs, 0.05), selected_rate(runs, None)
        (0.0001, 0.0002)
    """
    allowed = [o for o in outcomes if retention_loss is None or o.retention_loss <= retention_loss]
    best = max(allowed, key=lambda outcome: (outcome.hard, -outcome.rate), default=None)
    return None if best is None else best.rate


def further_rate(outcomes: Sequence[Validated], sweep: SweepConfig) -> float | None:
    """A rate to try besides, because a choice lies at an edge of those tried; None: no more.

    Both choices count, the constrained and the free one. Where no rate keeps within the loss, a
    lower one is tried. A choice at the upper edge asks for a higher rate only where its run has
    learned something: of rates that all teach nothing the lowest is chosen, which is no edge.
    """
    rates = sorted(outcome.rate for outcome in outcomes)
    added_below = sum(rate < min(sweep.learning_rates) * 0.999 for rate in rates)
    added_above = sum(rate > max(sweep.learning_rates) * 1.001 for rate in rates)
    chosen = [selected_rate(outcomes, limit) for limit in (sweep.retention_loss, None)]
    learned = {outcome.rate for outcome in outcomes if outcome.hard > 0}
    may_fall = chosen[0] is None or (rates[0] in chosen and rates[0] in learned)
    if may_fall and added_below < sweep.extensions:
        return rates[0] / sweep.factor
    if rates[-1] in chosen and rates[-1] in learned and added_above < sweep.extensions:
        return rates[-1] * sweep.factor
    return None
