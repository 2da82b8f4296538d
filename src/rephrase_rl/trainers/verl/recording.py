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
from rephrase_rl.guidance.token_records import rounded
from rephrase_rl.records import StepRecord, TokenRecord
from rephrase_rl.runs import RunDirectory
from rephrase_rl.trainers.verl.notes import CONTEXT_LOGPS, EXPERT, PIECES, record_of
from rephrase_rl.trainers.verl.trl_figures import trl_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.records import CandidateRecord, GroupRecord
    from rephrase_rl.trainers.verl.batch import BatchRow

logger = logging.getLogger(__name__)

OUR_NAMES = {
    "loss": "actor/loss",
    "grad_norm": "actor/grad_norm",
    "entropy": "actor/entropy",
    "learning_rate": "actor/lr",
}
"""Names of a run directory's figures that reports draw -> verl's of the same meaning."""


def filled_record(
    rows: Sequence[BatchRow], advantages: Sequence[float], members: Sequence[int], step: int
) -> GroupRecord | None:
    """The record of a group with what only the trainer knows; None of one that was not guided.

    Args:
        rows: Of the batch.
        advantages: Of the rows, without weights of tokens.
        members: Positions of the group's rows, by session.
        step: At which it is trained on, from 0. verl's asynchronous modes sample it earlier, and
            records of a step have to go with its figures and with a checkpoint's.
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
    return dataclasses.replace(record, step=step, members=tuple(final), candidates=candidates)


def _measured(candidate: CandidateRecord, row: BatchRow) -> CandidateRecord:
    """With the log-probs on q that the trainer has computed."""
    on_q = row.old_logps.double()
    on_context = row.notes.get(CONTEXT_LOGPS)
    changes: dict[str, Any] = {"logp_on_q": float(on_q.mean())}
    if on_context:
        on_context_BT = torch.tensor([on_context], dtype=torch.float64)
        mask_BT = torch.ones_like(on_context_BT, dtype=torch.bool)
        ratio_BT = context_ratio(on_q.unsqueeze(0), on_context_BT, mask_BT)
        quantiles = context_ratio_quantiles(ratio_BT, mask_BT, quantiles=(0.1, 0.5, 0.9))
        changes |= {
            "logp_on_context": float(on_context_BT.mean()),
            "context_ratio_quantiles": tuple(quantiles.tolist()),
        }
    if row.notes.get(PIECES) is not None:
        changes["tokens"] = TokenRecord(
            tuple(row.notes[PIECES]),
            rounded(on_q.tolist()),
            rounded(on_context) if on_context else None,
        )
    return dataclasses.replace(candidate, **changes)


def step_figures(
    records: Sequence[GroupRecord],
    rows: Sequence[BatchRow],
    *,
    num_prompts: int,
    failure_reward_threshold: float,
) -> dict[str, float]:
    """The figures of a step by the same names as under TRL; what has no value is left out.

    Args:
        records: Of the guided groups.
        rows: The batch.
        num_prompts: Of the step, those included whose rollouts failed.
        failure_reward_threshold: A reward below it is a failure.
    """
    figures = {"groups/unguided": float(num_prompts - len(records))}
    if records:
        figures |= {**step_metrics(records, failure_reward_threshold), **trl_figures(records)}
    own = [row for row in rows if not row.is_padding]
    measured = [tuple(row.notes[EXPERT]) for row in own if row.notes[EXPERT] is not None]
    if measured:
        totals, counts = zip(*measured, strict=True)
        figures["expert/policy_logp"] = sum(totals) / sum(counts)
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
