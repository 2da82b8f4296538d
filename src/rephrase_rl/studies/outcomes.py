"""Finished cells as numbers: per problem where intervals need it, per run where they do not."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rephrase_rl.config.study import BASE_ARM
from rephrase_rl.lab.abilities import HELD_OUT_ABILITY, TRAINED_ABILITIES
from rephrase_rl.studies.cells import ANY
from rephrase_rl.studies.measure import AVG_SAMPLES
from rephrase_rl.studies.selection import retention

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from rephrase_rl.records import JSON

    FloatArray = NDArray[np.float64]

FORGETS_ABOVE = 0.05
"""Retention loss on the test above which a run forgets."""
SPIKE_FACTOR, SPIKE_WINDOW, SPIKE_FLOOR = 5.0, 10, 1.0
"""A gradient norm above this many medians of so many steps before, and above the clipping norm."""
COLLAPSE_FROM, COLLAPSE_TO = 0.20, 0.5
"""Validation accuracy on hard problems that was reached, and the share of it that is left."""
RETENTION_DROP = 0.20
"""Fall of the validation retention that is a collapse."""


@dataclass(frozen=True, slots=True)
class Tested:
    """A policy on the test: one number per problem, all in [0, 1]."""

    hard: FloatArray
    """avg@4."""
    any_passed: FloatArray
    """pass@8."""
    easy: FloatArray
    general: Mapping[str, FloatArray]
    """By ability."""
    trained: float | None
    """Share of hard training problems with a success among the samples; None: not asked."""

    @property
    def retained(self) -> FloatArray:
        """Easy and general problems in one row, each half weighing the same.

        Both halves have as many problems in the shipped study; those of a smaller one weigh more.
        """
        general = np.concatenate([self.general[name] for name in sorted(self.general)])
        total = len(self.easy) + len(general)
        return np.concatenate([part * total / (2 * len(part)) for part in (self.easy, general)])

    @property
    def all_abilities(self) -> float:
        """Accuracy on problems of all general abilities."""
        return float(np.concatenate(list(self.general.values())).mean())

    @property
    def in_batch(self) -> float:
        """Mean accuracy on the abilities that mixed batches hold."""
        return float(np.mean([self.general[name].mean() for name in TRAINED_ABILITIES]))

    @property
    def held_out(self) -> float:
        """Accuracy on the ability that no batch ever holds."""
        return float(self.general[HELD_OUT_ABILITY].mean())


@dataclass(frozen=True, slots=True)
class Run:
    """One finished cell of the study proper."""

    summary: Mapping[str, JSON]
    base: Tested
    """Its starting policy."""
    tests: Mapping[int, Tested]
    """By optimiser steps."""
    before: Mapping[str, float]
    """Validation of the starting policy: before the first stage, where there are two."""

    @property
    def cell(self) -> Mapping[str, Any]:
        """What was varied."""
        return self.summary["cell"]

    @property
    def policy(self) -> str:
        """Name of its starting policy."""
        name: str = self.summary["policy"]["name"]
        return name

    @property
    def last(self) -> int:
        """Steps at the end."""
        return max(self.tests)

    @property
    def step_of_equal_prompts(self) -> int:
        """Steps after which every training problem was seen once, a first stage included."""
        return min(self.tests) if self.summary["first_steps"] else self.last

    @property
    def step_of_equal_tokens(self) -> int:
        """Steps after which it has sampled no more sequences than plain RL in one epoch."""
        return self.last if self.summary["first_steps"] else min(self.tests)

    @property
    def equal_prompts(self) -> Tested:
        """The policy of the first table."""
        return self.tests[self.step_of_equal_prompts]

    def tokens(self, step: int) -> int:
        """Tokens generated until a step, rewrites and a first stage included."""
        tokens: int = self.summary["tokens_by_step"][step - 1]
        return tokens

    @property
    def cpu_seconds(self) -> list[float]:
        """CPU seconds of training until each step.

        A step after which was validated is taken to have cost what the one before it did: the
        validation comes before the trainer reports the step, so the clock cannot part them.
        """
        totals = self.summary["cpu_s_by_step"]
        validated = {point["step"] for point in self.summary["curve"]}
        costs = np.diff([0.0, *totals]).tolist()
        for step in sorted(validated):
            if 1 < step <= len(costs):
                costs[step - 1] = costs[step - 2]
        return np.cumsum(costs).tolist()

    def hard_gain(self, step: int | None = None) -> float:
        """Hard avg@4 minus that of the starting policy."""
        tested = self.tests[step or self.last]
        return float(tested.hard.mean() - self.base.hard.mean())

    def retention_losses(self, step: int | None = None) -> FloatArray:
        """Per problem what the starting policy had and the run has not."""
        return self.base.retained - self.tests[step or self.last].retained

    def retention_loss(self, step: int | None = None) -> float:
        """Their mean."""
        return float(self.retention_losses(step).mean())

    @property
    def forgets(self) -> bool:
        """Whether the retention loss on the test is above the limit."""
        return self.retention_loss() > FORGETS_ABOVE

    @property
    def collapses(self) -> bool:
        """Whether the validation shows a collapse."""
        return collapses(self.summary["curve"], self.before)

    @property
    def unstable(self) -> bool:
        """Whether it collapses or forgets."""
        return self.collapses or self.forgets

    @property
    def spikes(self) -> int:
        """Steps with a spike of the gradient norm."""
        return spikes(self.summary["series"].get("grad_norm", []))

    @property
    def utilisation(self) -> float | None:
        """Share of hard training problems solved at least once in the fresh samples."""
        return self.tests[self.last].trained


def on_test(test: Mapping[str, JSON]) -> Tested:
    """Read the digits of a summary."""
    hard, general = test["hard"], test["general"]
    trained = test.get("trained")
    return Tested(
        hard=_counts(hard["first"]) / min(AVG_SAMPLES, hard["samples"]),
        # With as many samples as k the unbiased estimate is 1 where any passed.
        any_passed=(_counts(hard["all"]) > 0).astype(np.float64),
        easy=np.concatenate(
            [
                _counts(v) / test["easy"]["samples"]
                for k, v in test["easy"].items()
                if k != "samples"
            ]
        ),
        general={
            name: _counts(text) / general["samples"]
            for name, text in general.items()
            if name != "samples"
        },
        trained=None if trained is None else float((_counts(trained["all"]) > 0).mean()),
    )


def runs_of(summaries: Iterable[Mapping[str, JSON]]) -> list[Run]:
    """The tested runs whose starting policy was tested too; the sweep has no tests."""
    rows = list(summaries)
    bases = {
        (row["cell"]["rewriter"], row["policy"]["sha256"]): on_test(row["test"]["0"])
        for row in rows
        if row["cell"]["arm"] == BASE_ARM
    }
    # What was validated before a second stage is the policy after the first one.
    starts = {
        row["policy"]["sha256"]: row["curve"][0]
        for row in rows
        if row.get("curve") and not row.get("first_steps")
    }
    runs = []
    for row in rows:
        weights = row["policy"]["sha256"]
        base = bases.get((row["cell"]["rewriter"], weights))
        if row["cell"]["arm"] != BASE_ARM and row["test"] and base is not None:
            tests = {int(step): on_test(test) for step, test in row["test"].items()}
            own = row["curve"][0]
            before = starts.get(weights, own) if row["first_steps"] else own
            runs.append(Run(row, base, tests, before))
    return sorted(runs, key=lambda run: (run.cell["arm"], run.cell["seed"]))


def matching(runs: Sequence[Run], **wanted: str) -> list[Run]:
    """Runs of a condition; an arm that looks at no expert is in the conditions of both."""
    return [
        run for run in runs if all(run.cell[name] in (value, ANY) for name, value in wanted.items())
    ]


def spikes(grad_norms: Sequence[float | None]) -> int:
    """Steps whose gradient norm stands out of those before.

    Example:
        >>> spikes([0.5] * 10 + [3.0, 0.5])
        1
    """
    norms = [norm or 0.0 for norm in grad_norms]
    return sum(
        norm > SPIKE_FLOOR and norm > SPIKE_FACTOR * statistics.median(norms[i - SPIKE_WINDOW : i])
        for i, norm in enumerate(norms)
        if i >= SPIKE_WINDOW
    )


def collapses(curve: Sequence[Mapping[str, float]], before: Mapping[str, float]) -> bool:
    """Whether accuracy on hard problems falls to half, or retention far below what it was before.

    Args:
        curve: Validations by step.
        before: Validation before any training.

    Example:
        >>> point = {"easy": 1.0, "general": 1.0}
        >>> collapses([{"hard": hard, **point} for hard in (0.0, 0.4, 0.2)], point)
        True
        >>> collapses([{"hard": hard, **point} for hard in (0.0, 0.19, 0.0)], point)
        False
    """
    best = 0.0
    for point in curve:
        if best >= COLLAPSE_FROM and point["hard"] <= COLLAPSE_TO * best:
            return True
        if retention(point) <= retention(before) - RETENTION_DROP:
            return True
        best = max(best, point["hard"])
    return False


def _counts(text: str) -> FloatArray:
    return np.asarray([int(digit) for digit in text], dtype=np.float64)
