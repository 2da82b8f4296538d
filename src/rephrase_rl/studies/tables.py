"""The two tables of a condition, never mixed: equal prompts, and equal generated tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.config.study import BASE_ARM
from rephrase_rl.statistics.survival import time_to_threshold
from rephrase_rl.studies.effects import Effect, effect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from rephrase_rl.studies.outcomes import Run, Tested

ARMS = (
    "grpo",
    "grpo_large",
    "sft",
    "rewrite_sft",
    "sft_then_rl",
    "luffy",
    "luffy_gated",
    "naive",
    "guide",
    "repo",
)
"""In the order of the tables."""
THRESHOLDS = (0.30, 0.60)
DISTANCE_STEPS = 10
"""First steps over which log-probabilities of injected text are averaged."""


@dataclass(frozen=True, slots=True)
class Row:
    """One arm of a table; levels with 95 % t intervals over seeds and problems."""

    arm: str
    seeds: int
    hard: Effect
    """avg@4."""
    passed: Effect
    """pass@8."""
    easy: Effect
    in_batch: float
    """Mean accuracy on the abilities that mixed batches hold."""
    held_out: float
    """Accuracy on the ability that no batch holds."""
    lost: Effect | None
    """Retention loss then; None for a starting policy."""
    tokens: float | None
    """Generated until then, mean over seeds."""
    cpu_s: float | None
    """Seconds of training until then."""


class Reached(NamedTuple):
    """How soon the runs of an arm reach a threshold; those that never do are censored."""

    runs: int
    tokens: float | None
    """Median of Kaplan and Meier; None: fewer than half of the runs get there. All of them train
    for as many steps, so that one with few tokens was not stopped early, but spent few."""
    cpu_s: float | None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What an arm's runs did besides, at the end of training; means over seeds."""

    arm: str
    seeds: int
    rate: float
    retention_loss: Effect
    utilisation: float | None
    """Share of hard training problems solved at least once in eight fresh samples."""
    unstable: int
    """Runs that collapse or forget."""
    collapses: int
    spikes: float
    """Steps with a spike, per run."""
    injected_logp: float | None
    """Nats per token of injected or supervised text given q, over the first ten steps."""
    own_logp: float | None
    """The same of own rollouts."""
    steps_valid: float | None
    """Share of right steps in accepted rewrites."""
    reached: dict[float, Reached]
    """By threshold of the validation accuracy on hard problems."""
    cpu_s: float


@dataclass(frozen=True, slots=True)
class ConditionTables:
    """All that is said of the runs of a condition."""

    equal_prompts: tuple[Row, ...]
    equal_tokens: tuple[Row, ...]
    behaviour: tuple[Behaviour, ...]


def condition_tables(runs: Sequence[Run]) -> ConditionTables:
    """The tables of a condition's runs."""
    return ConditionTables(
        tuple(prompts_table(runs)), tuple(tokens_table(runs)), tuple(behaviours(runs))
    )


def prompts_table(runs: Sequence[Run]) -> list[Row]:
    """After the same training problems, each once."""
    return _table(runs, lambda run: run.step_of_equal_prompts, without=("grpo_large",))


def tokens_table(runs: Sequence[Run]) -> list[Row]:
    """After at most as many sampled sequences as plain RL has in one epoch."""
    return _table(runs, lambda run: run.step_of_equal_tokens)


def _table(
    runs: Sequence[Run], step_of: Callable[[Run], int], without: tuple[str, ...] = ()
) -> list[Row]:
    rows = [_base_row(runs)] if runs else []
    for arm in ARMS:
        own = [run for run in runs if run.cell["arm"] == arm]
        if own and arm not in without:
            rows.append(_arm_row(arm, own, step_of))
    return rows


def _base_row(runs: Sequence[Run]) -> Row:
    """Every starting policy once, however many runs start from it."""
    bases = {run.summary["policy"]["sha256"]: run.base for run in runs}
    return _row(BASE_ARM, list(bases.values()))


def _arm_row(arm: str, runs: Sequence[Run], step_of: Callable[[Run], int]) -> Row:
    losses = [run.retention_losses(step_of(run)) for run in runs]
    return replace(
        _row(arm, [run.tests[step_of(run)] for run in runs]),
        lost=effect("retention loss", losses, num_resamples=0),
        tokens=fmean(run.tokens(step_of(run)) for run in runs),
        cpu_s=fmean(run.cpu_seconds[step_of(run) - 1] for run in runs),
    )


def _row(arm: str, tested: Sequence[Tested]) -> Row:
    return Row(
        arm,
        len(tested),
        hard=_level(tested, lambda one: one.hard),
        passed=_level(tested, lambda one: one.any_passed),
        easy=_level(tested, lambda one: one.easy),
        in_batch=fmean(one.in_batch for one in tested),
        held_out=fmean(one.held_out for one in tested),
        lost=None,
        tokens=None,
        cpu_s=None,
    )


def _level(tested: Sequence[Tested], of: Callable[[Tested], NDArray[np.float64]]) -> Effect:
    return effect("level", [of(one) for one in tested], num_resamples=0)


def behaviours(runs: Sequence[Run]) -> list[Behaviour]:
    """What the runs of every arm did."""
    rows = []
    for arm in ARMS:
        own = [run for run in runs if run.cell["arm"] == arm]
        if own:
            rows.append(_behaviour(arm, own))
    return rows


def _behaviour(arm: str, runs: Sequence[Run]) -> Behaviour:
    rewrites = [run.summary["rewrites"] for run in runs if "rewrites" in run.summary]
    found = sum(one["steps_found"] for one in rewrites)
    return Behaviour(
        arm,
        len(runs),
        rate=runs[0].cell["rate"],
        retention_loss=effect(
            "retention loss", [run.retention_losses() for run in runs], num_resamples=0
        ),
        utilisation=_mean([run.utilisation for run in runs]),
        unstable=sum(run.unstable for run in runs),
        collapses=sum(run.collapses for run in runs),
        spikes=fmean(run.spikes for run in runs),
        injected_logp=_mean([_logp(run, ("injected_logp", "text_logp")) for run in runs]),
        own_logp=_mean([_logp(run, ("own_logp",)) for run in runs]),
        steps_valid=sum(one["steps_valid"] for one in rewrites) / found if found else None,
        reached={threshold: _reached(runs, threshold) for threshold in THRESHOLDS},
        cpu_s=fmean(run.cpu_seconds[-1] for run in runs),
    )


def _logp(run: Run, names: Sequence[str]) -> float | None:
    """Mean over the first steps of the first of these series that the run has."""
    series = run.summary["series"]
    values: list[float | None] = next((series[name] for name in names if name in series), [])
    return _mean(values[:DISTANCE_STEPS])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(known) if known else None


def reached_at(run: Run, threshold: float) -> int | None:
    """Steps at the first validation with this accuracy on hard problems; None: never."""
    curve = run.summary["curve"]
    return next((p["step"] for p in curve if p["step"] > 0 and p["hard"] >= threshold), None)


def _reached(runs: Sequence[Run], threshold: float) -> Reached:
    steps = [reached_at(run, threshold) for run in runs]
    tokens = [
        _until(run.summary["tokens_by_step"], step) for run, step in zip(runs, steps, strict=True)
    ]
    seconds = [_until(run.cpu_seconds, step) for run, step in zip(runs, steps, strict=True)]
    reached = [step is not None for step in steps]
    if 2 * sum(reached) < len(runs):
        return Reached(sum(reached), None, None)
    return Reached(
        sum(reached),
        time_to_threshold(tokens, reached).median,
        time_to_threshold(seconds, reached).median,
    )


def _until(totals: Sequence[float], step: int | None) -> float:
    """What was spent until a step; all of it where the threshold was never reached."""
    return float(totals[-1] if step is None else totals[step - 1])
