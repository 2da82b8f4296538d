"""What a run cost: tokens and seconds, and how complete the figures are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import StepRecord
    from rephrase_rl.reports.evaluations import EvaluationRow
    from rephrase_rl.runs import RunDirectory

STEP_SECONDS = "time/step_s"
"""Timing that is summed when the summary has no ``wall_s``."""


@dataclass(frozen=True, slots=True)
class TokenTotal:
    """Sum of a token metric over the steps."""

    tokens: int | None
    """None: no step has a figure."""
    steps_missing: int
    """Steps without a figure, which the sum leaves out."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens and seconds of one run."""

    num_steps: int
    rollout: TokenTotal
    rephrase: TokenTotal
    evaluation_tokens: int | None
    """None: no evaluation says."""
    wall_s: float | None
    wall_source: str
    """Where ``wall_s`` is from, in words."""

    @property
    def training_tokens(self) -> int | None:
        """Tokens generated for training, rollouts and rewrites; None if neither is recorded."""
        known = [t.tokens for t in (self.rollout, self.rephrase) if t.tokens is not None]
        return sum(known) if known else None


def measure_budget(
    run: RunDirectory, steps: Sequence[StepRecord], evaluations: Sequence[EvaluationRow]
) -> Budget:
    """Add up what a run has recorded."""
    counted = [e.generated_tokens for e in evaluations if e.generated_tokens is not None]
    wall_s, source = _wall_seconds(run)
    return Budget(
        num_steps=len(steps),
        rollout=token_total(steps, "tokens/rollout"),
        rephrase=token_total(steps, "tokens/rephrase"),
        evaluation_tokens=sum(counted) if counted else None,
        wall_s=wall_s,
        wall_source=source,
    )


def token_total(steps: Sequence[StepRecord], metric: str) -> TokenTotal:
    """Sum a token metric; steps without a figure are counted, not taken as 0 in silence."""
    known = [v for record in steps if (v := record.metrics.get(metric)) is not None]
    return TokenTotal(round(sum(known)) if known else None, len(steps) - len(known))


def _wall_seconds(run: RunDirectory) -> tuple[float | None, str]:
    summary = run.summary
    if isinstance(summary, dict) and isinstance(summary.get("wall_s"), int | float):
        return float(summary["wall_s"]), "summary.json"
    seconds = [v for t in run.timings() if (v := t.timings.get(STEP_SECONDS)) is not None]
    if seconds:
        return sum(seconds), f"sum of {STEP_SECONDS} over {len(seconds)} steps"
    return None, "not recorded"
