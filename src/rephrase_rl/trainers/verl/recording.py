"""Figures and records of a step, from what the rows of its batch carry."""

from __future__ import annotations

import dataclasses
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rephrase_rl.core.diagnostics import context_ratio_quantiles
from rephrase_rl.core.ratios import context_ratio
from rephrase_rl.guidance.recording import step_metrics
from rephrase_rl.records import StepRecord
from rephrase_rl.runs import RunDirectory
from rephrase_rl.trainers.verl.notes import CONTEXT_LOGPS, INJECTED, record_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.records import CandidateRecord, GroupRecord
    from rephrase_rl.trainers.verl.batch import BatchRow

logger = logging.getLogger(__name__)

OUR_NAMES = {
    "reward": "critic/score/mean",
    "loss": "actor/pg_loss",
    "grad_norm": "actor/grad_norm",
    "entropy": "actor/entropy",
    "learning_rate": "actor/lr",
    "completions/mean_length": "response_length/mean",
}
"""Names of a run directory's figures that reports draw -> verl's."""


def filled_record(
    rows: Sequence[BatchRow], advantages: Sequence[float], members: Sequence[int]
) -> GroupRecord | None:
    """The record of a group with what only the trainer knows; None of one that was not guided.

    Args:
        rows: Of the batch.
        advantages: Of the rows, without weights of tokens.
        members: Positions of the group's rows, by session.
    """
    record = record_of(rows[members[0]].notes)
    if record is None or len(record.members) != len(members):
        return None
    final = [
        dataclasses.replace(member, advantage=advantages[i])
        for member, i in zip(record.members, members, strict=True)
    ]
    candidates = record.candidates
    if record.slot is not None:
        row = rows[members[record.slot]]
        candidates = tuple(_measured(c, row) if c.accepted else c for c in candidates)
    return dataclasses.replace(record, members=tuple(final), candidates=candidates)


def _measured(candidate: CandidateRecord, row: BatchRow) -> CandidateRecord:
    """With the log-probs on q that the trainer has computed."""
    on_q = list(row.old_logps)
    on_context = row.notes.get(CONTEXT_LOGPS)
    changes: dict[str, Any] = {"logp_on_q": sum(on_q) / len(on_q)}
    if on_context:
        on_q_BT = torch.tensor([on_q], dtype=torch.float64)
        on_context_BT = torch.tensor([on_context], dtype=torch.float64)
        mask_BT = torch.ones_like(on_q_BT, dtype=torch.bool)
        ratio_BT = context_ratio(on_q_BT, on_context_BT, mask_BT)
        quantiles = context_ratio_quantiles(ratio_BT, mask_BT, quantiles=(0.1, 0.5, 0.9))
        changes |= {
            "logp_on_context": sum(on_context) / len(on_context),
            "context_ratio_quantiles": tuple(quantiles.tolist()),
        }
    return dataclasses.replace(candidate, **changes)


def step_figures(
    records: Sequence[GroupRecord], rows: Sequence[BatchRow], failure_reward_threshold: float
) -> dict[str, float]:
    """The figures of a step by the same names as under TRL; what has no value is left out."""
    figures: dict[str, float] = {}
    if records:
        figures |= step_metrics(records, failure_reward_threshold)
    for name, injected in (("rollouts", False), ("injection", True)):
        logps = [
            logp
            for row in rows
            for position, (logp, counts) in enumerate(
                zip(row.old_logps, row.loss_mask, strict=True)
            )
            if counts and (position < row.notes.get(INJECTED, 0)) == injected
        ]
        if logps:
            figures[f"{name}/policy_logp"] = sum(logps) / len(logps)
    return {name: value for name, value in figures.items() if not math.isnan(value)}


class StepRecorder:
    """Writes steps and groups into the run directory, in the trainer's process."""

    def __init__(self, run_path: str | None, keep: str) -> None:
        """Args: the run directory as this node sees it, and which groups are kept."""
        self._keep = keep
        self._begun = False
        self._run = None if run_path is None else RunDirectory.open(Path(run_path))

    def keep(
        self,
        step: int,
        records: Sequence[GroupRecord],
        metrics: Mapping[str, Any],
        timings: Mapping[str, float],
    ) -> None:
        """Append one step.

        Args:
            step: From 0.
            records: Groups that were trained on.
            metrics: verl's and ours.
            timings: verl's seconds by part of the step.
        """
        if self._run is None:
            return
        if not self._begun:  # verl may have gone on from a checkpoint before the last record
            self._run.rewind(step)
            self._begun = True
        kept = [r for r in records if self._keep == "all" or (self._keep == "open" and r.gate_open)]
        if kept:
            self._run.append_groups(kept)
        figures = {
            name: number
            for name, value in metrics.items()
            if (number := _number(value)) is not None
        }
        figures |= {
            ours: figures[theirs] for ours, theirs in OUR_NAMES.items() if theirs in figures
        }
        untimed = {n: v for n, v in figures.items() if not n.startswith(("timing", "perf/"))}
        self._run.append_step(StepRecord(step, untimed))
        seconds = {f"time/{name}_s": float(value) for name, value in timings.items()}
        self._run.append_timing(step, seconds)


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
