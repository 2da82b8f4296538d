"""What became of the groups of each data set, in a run that mixes several.

From group records alone and without torch, so that training and reports count alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rephrase_rl.records import GroupRecord


@dataclass(slots=True)
class DatasetFigures:
    """Counts over the groups of one set."""

    groups: int = 0
    scored: int = 0
    """Groups with at least one own rollout that could be judged."""
    passed: float = 0.0
    """Sum over scored groups of the share of own rollouts that passed, before injection."""
    gate_open: int = 0
    injected: int = 0
    """Groups of which a candidate was trained on."""

    def add(self, failure_fraction: float, gate_open: bool, injected: bool) -> None:
        """Count one group; a failure fraction of NaN means that none could be judged."""
        self.groups += 1
        if not math.isnan(failure_fraction):
            self.scored += 1
            self.passed += 1.0 - failure_fraction
        self.gate_open += gate_open
        self.injected += injected

    @property
    def pass_fraction(self) -> float:
        """Mean over scored groups of the own rollouts that passed; NaN if there is none."""
        return self.passed / self.scored if self.scored else math.nan


def dataset_figures(records: Iterable[GroupRecord]) -> dict[str, DatasetFigures]:
    """Count the groups by data set, in order of name; nothing for a run with a single set."""
    figures: dict[str, DatasetFigures] = {}
    for record in records:
        if record.dataset:
            injected = record.used and any(c.accepted for c in record.candidates)
            of_set = figures.setdefault(record.dataset, DatasetFigures())
            of_set.add(record.failure_fraction, record.gate_open, injected)
    return dict(sorted(figures.items()))


def dataset_metrics(records: Iterable[GroupRecord]) -> dict[str, float]:
    """The figures of each set as metrics ``data/<set>/...``."""
    metrics: dict[str, float] = {}
    for name, of_set in dataset_figures(records).items():
        metrics |= {
            f"data/{name}/groups": float(of_set.groups),
            f"data/{name}/pass_fraction": of_set.pass_fraction,
            f"data/{name}/gate_open_fraction": of_set.gate_open / of_set.groups,
            f"data/{name}/injected_fraction": of_set.injected / of_set.groups,
        }
    return metrics
