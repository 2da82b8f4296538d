"""How each part of an expert's text would keep to a run's limits, so that one can be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.data.lengths import Fit, LengthCounts, LengthSummary

if TYPE_CHECKING:
    from rephrase_rl.data.faults import BadRow


class Limits(NamedTuple):
    """What a run sets bounds to, in tokens; None: it does not."""

    prompt: int | None = None
    """Of P(q, k)."""
    prompt_by: str = "guidance.source.max_prompt_tokens"
    """What sets it, in words."""
    completion: int | None = None
    """Of a completion with its end token, which supervised training makes of k."""
    expert: int | None = None
    """Of k: the budget ``expert_tokens``."""
    solve: int | None = None
    """Of q: what a completion leaves of the policy's context."""
    solve_by: str = ""
    """That, in words."""


@dataclass(frozen=True, slots=True)
class PartFit:
    """One part, taken as k in every row that has it."""

    part: str
    """Value of ``expert_part``."""
    without: int
    """Rows whose expert has no such part: faults, if it were chosen."""
    tokens: LengthSummary | None
    """Of k."""
    prompt_fit: Fit | None
    """P(q, k) within the run's limit on it."""
    completion_fit: Fit | None
    """k, with an end token, within ``trainer.max_completion_length``."""
    budget_fit: Fit | None
    """k within ``expert_tokens``; where no budget is set, within the largest one under which every
    P(q, k) fits."""


class PartTally:
    """Lengths of one part over all rows."""

    def __init__(self, part: str) -> None:
        """Args: the value of ``expert_part``."""
        self._part = part
        self._without = 0
        self._expert = LengthCounts()
        self._prompt = LengthCounts()
        self._most_around = 0

    def add(self, expert_tokens: int, prompt_tokens: int | None) -> None:
        """Take in a row: tokens of k, and of P(q, k) where there is a template for it."""
        self._expert.add(expert_tokens)
        if prompt_tokens is not None:
            self._prompt.add(prompt_tokens)
            self._most_around = max(self._most_around, prompt_tokens - expert_tokens)

    def add_absent(self, row: BadRow) -> None:
        """Take in a row that gives no problem, perhaps because it lacks the part."""
        self._without += any(fault.about == "expert_solution" for fault in row.faults)

    def fit(self, limits: Limits) -> PartFit:
        """What was taken in, against the limits."""
        budget = limits.expert
        if budget is None and limits.prompt is not None and self._prompt.summary() is not None:
            budget = limits.prompt - self._most_around
        return PartFit(
            self._part,
            self._without,
            self._expert.summary(),
            self._prompt.fit(limits.prompt),
            self._expert.fit(limits.completion, further_tokens=1),
            None if budget is None or budget < 1 else self._expert.fit(budget),
        )
