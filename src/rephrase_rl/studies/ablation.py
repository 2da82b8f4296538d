"""Arms against the baseline of a study, seed by seed: what each change does, and at what cost.

Two primary endpoints for each change, fixed in ``results/PLAN_ABLATIONS.md``: accuracy on hard
problems at equal generated tokens, and retention. Seeds pair runs: both start from the same policy
and see the same problems in the same order.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from rephrase_rl.statistics.correction import holm
from rephrase_rl.statistics.intervals import seed_mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.studies.outcomes import Run

LEVEL = 0.05
_ALIKE = 1e-9
"""Differences that lie closer together are the same number: there is no spread to test by."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean over paired seeds of a variant minus its baseline, with a 95 % t interval."""

    mean: float
    low: float
    """NaN with fewer than two pairs."""
    high: float
    p_value: float | None
    """Of the paired t test, Holm-corrected over the variants of a condition; None: fewer than two
    pairs, or all differences are the same number."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One change against the baseline in one condition."""

    arm: str
    protocol: str
    """Its own; that of its baseline is the condition's."""
    pairs: int
    hard: float
    """Accuracy on hard problems at the end, avg over samples; mean over seeds."""
    hard_at_tokens: Difference
    """Validation accuracy on hard problems at equal generated tokens. Primary."""
    retention: Difference
    """Accuracy on easy and general problems at the end. Primary."""
    hard_at_end: Difference
    """Test accuracy on hard problems after as many prompts."""
    area: Difference
    """Mean of the validation accuracy on hard problems over the steps: how early it learns."""
    area_by_tokens: Difference
    """The same over generated tokens, up to where the run that generated fewer ends. It still tells
    runs apart that are all at the top in the end."""
    tokens: float
    """Generated tokens over those of the baseline."""
    seconds: float
    """CPU seconds of training over those of the baseline."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The variants of a condition, and the baseline's own level."""

    protocol: str
    expert: str
    rewriter: str
    seeds: int
    """Runs of the baseline."""
    hard: float
    """Of the baseline at the end."""
    retention: float
    variants: tuple[Variant, ...]
    """By accuracy at equal tokens, highest first."""

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.protocol}, {self.expert} expert, {self.rewriter} rewriter"


def compare_to_baseline(study: StudyConfig, runs: Sequence[Run]) -> list[Compared]:
    """Every condition of a study in which the baseline was run.

    Args:
        study: With a baseline.
        runs: Finished cells of the study proper.
    """
    conditions = dict.fromkeys(
        (run.cell["protocol"], run.cell["expert"], run.cell["rewriter"])
        for run in runs
        if run.cell["arm"] == study.baseline
    )
    found = (_in_condition(study, runs, *condition) for condition in conditions)
    return [one for one in found if one.variants]


def _in_condition(
    study: StudyConfig, runs: Sequence[Run], protocol: str, expert: str, rewriter: str
) -> Compared:
    where = [r for r in runs if (r.cell["expert"], r.cell["rewriter"]) == (expert, rewriter)]
    baseline, pairs = pairs_by_change(study, where, protocol)
    variants = [variant_of(arm, own, its) for (arm, own), its in pairs.items()]
    return Compared(
        protocol,
        expert,
        rewriter,
        len(baseline),
        fmean(_hard(run) for run in baseline),
        fmean(kept(run) for run in baseline),
        tuple(sorted(_corrected(variants), key=lambda v: v.hard_at_tokens.mean, reverse=True)),
    )


def pairs_by_change(
    study: StudyConfig, runs: Sequence[Run], protocol: str
) -> tuple[list[Run], dict[tuple[str, str], list[tuple[Run, Run]]]]:
    """The baseline's runs in a condition, and every change with its pairs.

    Args:
        study: With a baseline.
        runs: Finished cells of one expert and one kind of policy.
        protocol: That of the baseline. Changes have it too, or batches that are against it.

    Returns:
        Runs of the baseline; by arm and its own protocol, runs with the baseline of the same seed.
    """
    ours = [run for run in runs if run.cell["protocol"] == protocol]
    baseline = {run.cell["seed"]: run for run in ours if run.cell["arm"] == study.baseline}
    compared = [
        *((run.cell["arm"], protocol) for run in ours if run.cell["arm"] != study.baseline),
        *(
            (run.cell["arm"], name)
            for name, mix in study.protocols.items()
            if mix.against == protocol
            for run in runs
            if run.cell["protocol"] == name
        ),
    ]
    found = {}
    for arm, own in dict.fromkeys(compared):
        its = [run for run in runs if (run.cell["arm"], run.cell["protocol"]) == (arm, own)]
        pairs = [(run, baseline[s]) for run in its if (s := run.cell["seed"]) in baseline]
        if pairs:
            found[arm, own] = pairs
    return list(baseline.values()), found


def variant_of(arm: str, protocol: str, pairs: Sequence[tuple[Run, Run]]) -> Variant:
    """What a change does by its pairs, p-values not corrected for other changes."""

    def paired(figure: Callable[[Run], float]) -> Difference:
        return difference([figure(run) - figure(base) for run, base in pairs])

    return Variant(
        arm=arm,
        protocol=protocol,
        pairs=len(pairs),
        hard=fmean(_hard(run) for run, _ in pairs),
        hard_at_tokens=difference([_at_equal_tokens(run, base) for run, base in pairs]),
        retention=paired(kept),
        hard_at_end=paired(_hard),
        area=paired(_area),
        area_by_tokens=difference([a - b for a, b in itertools.starmap(heights_by_tokens, pairs)]),
        tokens=_ratio([(r.summary["tokens"], b.summary["tokens"]) for r, b in pairs]),
        seconds=_ratio([(r.cpu_seconds[-1], b.cpu_seconds[-1]) for r, b in pairs]),
    )


def difference(values: Sequence[float]) -> Difference:
    """The mean of paired differences, its t interval and the p-value of the paired t test.

    Example:
        >>> found = difference([0.1, 0.2, 0.3])
        >>> round(found.mean, 3), round(found.low, 3), round(found.p_value, 3)
        (0.2, -0.048, 0.074)
        >>> difference([0.2]).p_value is None
        True
    """
    interval = seed_mean_interval(values)
    p_value = None
    if len(values) > 1 and np.ptp(values) > _ALIKE:
        p_value = float(stats.ttest_1samp(values, 0.0).pvalue)
    return Difference(interval.mean, interval.low, interval.high, p_value)


def _corrected(variants: Sequence[Variant]) -> list[Variant]:
    """With the p-values of each primary endpoint corrected over the variants of the condition."""
    corrected = list(variants)
    for name in ("hard_at_tokens", "retention"):
        adjusted = holm([getattr(variant, name).p_value for variant in corrected])
        corrected = [
            replace(variant, **{name: replace(getattr(variant, name), p_value=p_value)})
            for variant, p_value in zip(corrected, adjusted, strict=True)
        ]
    return corrected


def _hard(run: Run) -> float:
    return float(run.tests[run.last].hard.mean())


def kept(run: Run) -> float:
    """Mean accuracy on easy and general test problems at the end."""
    return float(run.tests[run.last].retained.mean())


def _area(run: Run) -> float:
    """Mean height of the validation curve, straight between its points."""
    curve = run.summary["curve"]
    steps = [point["step"] for point in curve]
    return float(np.trapezoid([point["hard"] for point in curve], steps)) / (steps[-1] - steps[0])


def _at_equal_tokens(run: Run, base: Run) -> float:
    """Difference of the validation curves where the one that generated less ends."""
    budget = min(run.summary["tokens"], base.summary["tokens"])
    return float(np.interp(budget, *_by_tokens(run)) - np.interp(budget, *_by_tokens(base)))


def heights_by_tokens(run: Run, base: Run) -> tuple[float, float]:
    """Mean validation accuracy on hard problems of both, over the tokens that both generated."""
    budget = min(run.summary["tokens"], base.summary["tokens"])
    return _mean_height(*_by_tokens(run), budget), _mean_height(*_by_tokens(base), budget)


def _mean_height(tokens: Sequence[float], heights: Sequence[float], budget: float) -> float:
    """Of a line that is straight between its points, from 0 to the budget."""
    if not budget:
        return heights[0]
    inside = [t for t in tokens if t < budget]
    places = [*inside, budget]
    return float(np.trapezoid(np.interp(places, tokens, heights), places)) / budget


def _by_tokens(run: Run) -> tuple[list[float], list[float]]:
    """Tokens generated at the points of the validation curve, and accuracies on hard problems."""
    curve = run.summary["curve"]
    spent = [0, *run.summary["tokens_by_step"]]
    return [spent[point["step"]] for point in curve], [point["hard"] for point in curve]


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Sum over sum; NaN where the baseline has none."""
    below = sum(base for _, base in pairs)
    return sum(own for own, _ in pairs) / below if below else math.nan
