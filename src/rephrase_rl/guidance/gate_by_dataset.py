"""A gate for each data set of a mixture: hard problems may be guided and others left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rephrase_rl.guidance.blocks import Gate, StepContext
    from rephrase_rl.records import Problem, RolloutGroup


@dataclass(frozen=True, slots=True)
class GateByDataset:
    """The answer of the gate of the problem's data set."""

    gates: Mapping[str, Gate | None]
    """By name of the set; None never opens."""
    default: Gate | None = None
    """Of problems of any other set."""

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether the set has a gate, and it opens."""
        gate = self.gate_of(group.problem)
        return gate is not None and gate(group, context)

    def gate_of(self, problem: Problem) -> Gate | None:
        """The gate that decides about a problem; None: it is never guided."""
        return self.gates.get(problem.dataset, self.default)


def never_guided(gate: Gate | None, problem: Problem) -> bool:
    """Whether no group of this problem can be guided, so that nothing is sampled in advance."""
    if isinstance(gate, GateByDataset):
        return gate.gate_of(problem) is None
    return gate is None
