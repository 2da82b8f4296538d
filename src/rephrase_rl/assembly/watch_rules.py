"""What the evaluations of a run so far decide: the best policy, an alarm, an early end.

Functions of the history alone, so a resumed run decides as the run left alone does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rephrase_rl.config import EarlyStopConfig, EvaluationConfig, RetentionConfig

Means: TypeAlias = Mapping[str, float]
"""avg@k by benchmark; NaN where nothing could be scored."""
History: TypeAlias = Mapping[int, Means]
"""By optimiser steps done; 0 is the starting policy."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the last evaluation of a history decides."""

    after_steps: int
    """Optimiser steps done."""
    best_step: int | None = None
    """Steps of the best policy that was trained, by ``keep_best``; None: no rule, or none yet."""
    since_best: int | None = None
    """Evaluations since the best one, by ``early_stop``; 0: this is it. None: no rule."""
    drops: Mapping[str, float] = field(default_factory=dict)
    """How far each retention benchmark has fallen below the starting policy; below 0: risen."""
    alarms: tuple[str, ...] = ()
    """Retention benchmarks that have fallen too far."""
    end: str | None = None
    """Why training ends here, in words; None: it goes on."""

    @property
    def is_best(self) -> bool:
        """Whether this is the policy to be kept."""
        return self.best_step == self.after_steps


def decide(history: History, rules: EvaluationConfig) -> Decision:
    """Look at a history as it is after its last evaluation.

    Args:
        history: At least one evaluation.
        rules: The configuration's.
    """
    last = max(history)
    drops = _drops(history, last, rules.retention)
    alarms = _alarms(drops, rules.retention)
    since_best = _since_best(history, rules.early_stop)
    return Decision(
        after_steps=last,
        best_step=None if rules.keep_best is None else _best_step(history, rules),
        since_best=since_best,
        drops=drops,
        alarms=alarms,
        end=_end(since_best, alarms, drops, rules),
    )


def _drops(history: History, step: int, rule: RetentionConfig | None) -> dict[str, float]:
    if rule is None or step == 0 or 0 not in history:
        return {}
    return {name: history[0][name] - history[step][name] for name in rule.benchmarks}


def _alarms(drops: Mapping[str, float], rule: RetentionConfig | None) -> tuple[str, ...]:
    if rule is None:
        return ()
    # What can no longer be judged is no sign of being kept.
    return tuple(name for name, drop in drops.items() if math.isnan(drop) or drop > rule.max_drop)


def _best_step(history: History, rules: EvaluationConfig) -> int | None:
    """Of trained policies without an alarm the one with the highest mean; the first of equals."""
    name = rules.keep_best
    assert name is not None  # noqa: S101  (narrows the type)
    allowed = [
        step
        for step in sorted(history)
        if step > 0
        and not math.isnan(history[step][name])
        and not _alarms(_drops(history, step, rules.retention), rules.retention)
    ]
    return max(allowed, key=lambda step: history[step][name], default=None)


def _since_best(history: History, rule: EarlyStopConfig | None) -> int | None:
    if rule is None:
        return None
    best, since = -math.inf, 0
    for step in sorted(history):
        mean = history[step][rule.benchmark]
        if mean > best + rule.min_gain or math.isinf(best):
            best, since = (mean, 0) if not math.isnan(mean) else (best, since + 1)
        else:
            since += 1
    return since


def _end(
    since_best: int | None,
    alarms: tuple[str, ...],
    drops: Mapping[str, float],
    rules: EvaluationConfig,
) -> str | None:
    if rules.retention is not None and rules.retention.stop and alarms:
        fallen = ", ".join(f"{name} by {drops[name]:.3f}" for name in alarms)
        return f"retention: {fallen}, more than {rules.retention.max_drop:g}"
    if rules.early_stop is not None and (since_best or 0) >= rules.early_stop.patience:
        return f"early stop: {rules.early_stop.benchmark} not better in {since_best} evaluations"
    return None
