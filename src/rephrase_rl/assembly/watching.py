"""Carries out what evaluations in training decide: keeps the best policy, warns, ends the run."""

from __future__ import annotations

import logging
import math
import shutil
import warnings
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from rephrase_rl.assembly.policies import BEST_POLICY, best_step
from rephrase_rl.assembly.watch_rules import Decision, decide
from rephrase_rl.runs import atomic, jsonl
from rephrase_rl.runs.watch import append_watch, read_watch
from rephrase_rl.statistics import paired_difference_interval

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rephrase_rl.config import EvaluationConfig
    from rephrase_rl.evaluation import EvaluationResult
    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory
    from rephrase_rl.statistics import Interval

logger = logging.getLogger(__name__)


class EvaluationWatch:
    """Looks at every evaluation of a run; all processes take part, the first one decides."""

    def __init__(
        self, rules: EvaluationConfig, run: RunDirectory | None, trainer: Any, home: Path
    ) -> None:
        """Bind to a run.

        Args:
            rules: The configuration's.
            run: The run directory; None on all processes but the first.
            trainer: Saves the best policy.
            home: ``checkpoints/`` of the run.
        """
        self._rules = rules
        self._run = run
        self._trainer = trainer
        self._best = home / BEST_POLICY
        self.end: str | None = None
        """Why training has ended early; None: it has not."""

    def take_up(self, step: int) -> bool:
        """Take up the decisions of an earlier part; whether training had ended there.

        A best policy of later steps, which are done again, is removed.

        Args:
            step: Of the checkpoint that is gone on from.
        """
        found: list[Any] = [None]
        if self._run is not None and self._rules.watched:
            kept = best_step(self._best)
            if self._best.is_dir() and (kept is None or kept > step):
                logger.warning("removed %s, made after step %d", self._best, step)
                shutil.rmtree(self._best)
            records = read_watch(self._run.path)
            found = [records[-1].get("end") if records else None]
        self.end = _shared(found)
        return self.end is not None

    def look(self, step: int, results: Mapping[str, EvaluationResult]) -> dict[str, float]:
        """Decide after an evaluation; figures for trackers.

        Args:
            step: Optimiser steps done.
            results: Of the evaluation; empty on all processes but the first.
        """
        if not self._rules.watched or step == 0:
            return {}
        decision: Decision | None = None
        if self._run is not None:
            decision = decide(self._history(), self._rules)
            intervals = self._drop_intervals(results)
            self._warn(decision, intervals)
        decision = _shared([decision])
        assert decision is not None  # noqa: S101  (narrows the type)
        if decision.is_best:
            self._trainer.save_whole(self._best)
        if self._run is not None:
            if decision.is_best:
                content = jsonl.encode({"after_steps": step}) + b"\n"
                atomic.write_bytes(self._best / "step.json", content)
            self._record(decision, intervals)
        self.end = decision.end
        return _figures(decision)

    def _history(self) -> dict[int, dict[str, float]]:
        assert self._run is not None  # noqa: S101  (narrows the type)
        wanted = {name for names in self._rules.watched.values() for name in names}
        history: dict[int, dict[str, float]] = {}
        for entry in self._run.evaluations():
            if entry.benchmark in wanted:
                mean = entry.result["avg_at_k"]["mean"]
                means = history.setdefault(entry.step, dict.fromkeys(wanted, math.nan))
                means[entry.benchmark] = math.nan if mean is None else mean
        return history

    def _drop_intervals(self, results: Mapping[str, EvaluationResult]) -> dict[str, Interval]:
        """How far each retention benchmark has fallen, paired over its problems."""
        rule = self._rules.retention
        if rule is None or self._run is None:
            return {}
        before = {e.benchmark: e for e in self._run.evaluations() if e.step == 0}
        found = {}
        for name in rule.benchmarks:
            if name in before and name in results:
                then = _by_problem((s["problem_id"], s["value"]) for s in before[name].samples())
                now = _by_problem((s.problem_id, s.value) for s in results[name].samples)
                order = list(now)
                if set(order) == set(then):
                    found[name] = paired_difference_interval(
                        [then[p] for p in order], [now[p] for p in order]
                    )
        return found

    def _warn(self, decision: Decision, intervals: Mapping[str, Interval]) -> None:
        rule = self._rules.retention
        for name in decision.alarms:
            assert rule is not None  # noqa: S101  (narrows the type)
            interval = intervals.get(name)
            sure = f" ({interval.low:.3f} to {interval.high:.3f})" if interval else ""
            then = "training ends" if rule.stop else "evaluation.retention.stop: true would end it"
            warnings.warn(
                f"FORGETTING: after step {decision.after_steps} avg@k of {name} is "
                f"{decision.drops[name]:.3f}{sure} below the starting policy's, more than "
                f"{rule.max_drop:g}; {then}. Mix in problems of its kind, or lower the learning "
                "rate",
                stacklevel=4,
            )

    def _record(self, decision: Decision, intervals: Mapping[str, Interval]) -> None:
        assert self._run is not None  # noqa: S101  (narrows the type)
        drops: dict[str, JSON] = {
            name: {"drop": drop, "interval": intervals.get(name), "alarm": name in decision.alarms}
            for name, drop in decision.drops.items()
        }
        append_watch(
            self._run.path,
            {
                "step": decision.after_steps - 1,
                "after_steps": decision.after_steps,
                "best_step": decision.best_step,
                "since_best": decision.since_best,
                "retention": drops,
                "end": decision.end,
            },
        )


def _by_problem(values: Any) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {}
    for problem_id, value in values:
        rows.setdefault(problem_id, []).append(math.nan if value is None else value)
    return rows


def _shared(found: list[Any]) -> Any:
    """What the first process has found, on all of them."""
    if PartialState().num_processes > 1:
        broadcast_object_list(found)
    return found[0]


def _figures(decision: Decision) -> dict[str, float]:
    figures = {f"evaluation/{name}/drop": drop for name, drop in decision.drops.items()}
    if decision.since_best is not None:
        figures["evaluation/since_best"] = float(decision.since_best)
    return figures
