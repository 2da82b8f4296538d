"""What a run cost: tokens, seconds, memory and expert texts, and how complete the figures are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import StepRecord
    from rephrase_rl.reports.evaluations import EvaluationRow
    from rephrase_rl.reports.group_tally import GroupTally
    from rephrase_rl.runs import RunDirectory

STEP_SECONDS = "time/step_s"
"""Timing that is summed when the summary has no ``wall_s``."""
EVALUATION_SECONDS = "time/evaluation_s"
"""Part of ``STEP_SECONDS`` that was evaluation."""
PEAK_MEMORY = {"host": "memory/host_peak_bytes", "gpu": "memory/gpu_peak_bytes"}
"""Largest memory of the first process so far, by place."""


@dataclass(frozen=True, slots=True)
class TokenTotal:
    """Sum of a token metric over the steps."""

    tokens: int | None
    """None: no step has a figure."""
    steps_missing: int
    """Steps without a figure, which the sum leaves out."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run cost."""

    num_steps: int
    prompts: int | None
    """Distinct problems that were trained on; None: not recorded."""
    expert_texts: int | None
    """Distinct problems whose expert text was used; None: not recorded."""
    rollout: TokenTotal
    rephrase: TokenTotal
    evaluation_tokens: int | None
    """None: no evaluation says."""
    wall_s: float | None
    wall_source: str
    """Where ``wall_s`` is from, in words."""
    peak_memory_bytes: Mapping[str, float]
    """Largest memory of the first process by place, ``host`` and ``gpu``; empty: not recorded."""

    @property
    def training_tokens(self) -> int | None:
        """Tokens generated for training, rollouts and rewrites; None if neither is recorded."""
        known = [t.tokens for t in (self.rollout, self.rephrase) if t.tokens is not None]
        return sum(known) if known else None


def measure_budget(
    run: RunDirectory,
    steps: Sequence[StepRecord],
    evaluations: Sequence[EvaluationRow],
    tally: GroupTally,
) -> Budget:
    """Add up what a run has recorded; ``tally`` is of all its groups."""
    timings = [record.timings for record in run.timings()]
    prompts, expert_texts = _problems_used(run, tally)
    counted = [e.generated_tokens for e in evaluations if e.generated_tokens is not None]
    wall_s, source = _wall_seconds(run)
    return Budget(
        num_steps=len(steps),
        prompts=prompts,
        expert_texts=expert_texts,
        rollout=token_total(steps, "tokens/rollout"),
        rephrase=token_total(steps, "tokens/rephrase"),
        evaluation_tokens=sum(counted) if counted else None,
        wall_s=wall_s,
        wall_source=source,
        peak_memory_bytes=peak_memory(timings),
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


def seconds_by_step(run: RunDirectory) -> dict[int, float]:
    """Seconds of training in each step, evaluations taken off; NaN where a step has no time."""
    seconds = {}
    for record in run.timings():
        whole = record.timings.get(STEP_SECONDS)
        evaluation = record.timings.get(EVALUATION_SECONDS) or 0.0
        seconds[record.step] = math.nan if whole is None else whole - evaluation
    return seconds


def peak_memory(timings: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """The largest memory of the first process over all steps, by place."""
    found = {}
    for place, name in PEAK_MEMORY.items():
        known = [value for row in timings if (value := row.get(name)) is not None]
        if known:
            found[place] = max(known)
    return found


def _problems_used(run: RunDirectory, tally: GroupTally) -> tuple[int | None, int | None]:
    """Distinct problems trained on, and those whose expert text was read.

    A supervised run has no groups and says in its manifest what became of the problems; any other
    is counted from its groups, which tell of all problems only if all groups were kept.
    """
    made = run.manifest.get("training_texts")
    if isinstance(made, Mapping):
        counts = {name: n for name, n in made.items() if isinstance(n, int)}
        trained = counts.get("expert_text", 0) + counts.get("rewrite", 0)
        return trained, trained + counts.get("refused", 0)
    kept = _kept_groups(run)
    if kept == "none" or not tally.groups:
        return None, None
    return (len(tally.problems) if kept == "all" else None), len(tally.expert_problems)


def _kept_groups(run: RunDirectory) -> str:
    """Which groups the run keeps, as its configuration has it; ``all`` by default."""
    config = run.config
    log = config.get("log") if isinstance(config, Mapping) else None
    kept = log.get("groups", "all") if isinstance(log, Mapping) else "all"
    return str(kept)
