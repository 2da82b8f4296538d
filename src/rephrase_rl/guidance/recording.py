"""From guided groups to records, and from records to the metrics of a step.

Metrics are computed from ``GroupRecord``s alone, so a report can compute them again from
``groups.jsonl`` and no second truth exists.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.diagnostics import context_ratio_quantiles
from rephrase_rl.core.ratios import context_ratio
from rephrase_rl.guidance.dataset_figures import dataset_metrics
from rephrase_rl.records import CandidateRecord, GroupRecord, MemberRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rephrase_rl.guidance.blocks import StepContext
    from rephrase_rl.guidance.step import GuidedGroup
    from rephrase_rl.guidance.token_records import TokenRecorder
    from rephrase_rl.records import Candidate, Rollout


KNOWN_REASONS = ("open", "closed", "unscored", "over_length", "no_expert")
"""Reasons that have a figure of their own; any other is a source's word for having nothing."""

REFUSAL_METRICS = {
    "correct": "wrong",
    "finished": "unfinished",
    "no_meta_text": "meta_text",
    "not_copied": "copied",
    "within_length": "over_length",
    "steps_valid": "invalid_steps",
    "over_length": "over_length",
    "empty": "empty",
    "unscorable": "unscorable",
    "not_chosen": "not_chosen",
    "no_slot": "no_slot",
}
"""Name of a refusal in records -> last part of its metric ``refused/...``. A refusal by
``reward_above_replaced`` is ``wrong`` or ``not_better``; one by a user's own rule is ``other``."""


def group_record(
    guided: GuidedGroup,
    advantages: Sequence[float],
    context: StepContext,
    *,
    used: bool = True,
    tokens: TokenRecorder | None = None,
) -> GroupRecord:
    """Put down one group as it was trained on, and why.

    Args:
        guided: The group after guidance.
        advantages: One per member, in order.
        context: Step and rank.
        used: False for a group that dynamic sampling put another in place of.
        tokens: Writes the tokens of candidates; None keeps no tokens.
    """
    problem = guided.group.problem
    return GroupRecord(
        step=context.step,
        rank=context.rank,
        problem_id=problem.problem_id,
        question=problem.question,
        reference_answer=problem.reference_answer,
        expert_solution=problem.expert_solution,
        failure_fraction=guided.failure_fraction,
        gate_open=guided.gate_open,
        gate_reason=guided.reason,
        members=tuple(
            _member(rollout, advantage)
            for rollout, advantage in zip(guided.group.rollouts, advantages, strict=True)
        ),
        candidates=tuple(candidate_record(candidate, tokens) for candidate in guided.candidates),
        slot=guided.slot,
        replaced=None if guided.replaced is None else _member(guided.replaced, math.nan),
        rescued=guided.rescued,
        placement=guided.placement,
        used=used,
        dataset=problem.dataset,
    )


def _member(rollout: Rollout, advantage: float) -> MemberRecord:
    return MemberRecord(
        text=rollout.completion.text,
        origin=rollout.origin,
        reward=rollout.reward,
        correctness=rollout.correctness,
        advantage=advantage,
        num_tokens=len(rollout.completion.token_ids),
        finished=rollout.completion.finished,
    )


def candidate_record(candidate: Candidate, tokens: TokenRecorder | None = None) -> CandidateRecord:
    """Put down one candidate, accepted or refused."""
    # A text that was not written from a prompt of its own has no second log-prob to speak of.
    quantiles, logp_on_context = None, math.nan
    if candidate.context_ids is not None:
        logp_on_context = candidate.mean_logp_on_context
        quantiles = _context_ratio_quantiles(candidate)
    return CandidateRecord(
        text=candidate.completion.text,
        raw_text=candidate.raw_text,
        origin=candidate.origin,
        reward=candidate.reward,
        correctness=candidate.correctness,
        num_tokens=len(candidate.completion.token_ids),
        num_sampled_tokens=candidate.num_sampled_tokens,
        finished=candidate.completion.finished,
        accepted=candidate.accepted,
        refusals=candidate.refusals,
        removed_meta=candidate.removed_meta,
        logp_on_q=_or_none(candidate.mean_logp_on_q),
        logp_on_context=_or_none(logp_on_context),
        context_ratio_quantiles=quantiles,
        num_prefix_tokens=candidate.num_prefix_tokens,
        tokens=None if tokens is None else tokens(candidate),
    )


def _context_ratio_quantiles(candidate: Candidate) -> tuple[float, ...] | None:
    if not candidate.logps_on_q or not candidate.logps_on_context:
        return None
    on_q_BT = torch.tensor([candidate.logps_on_q], dtype=torch.float64)
    on_context_BT = torch.tensor([candidate.logps_on_context], dtype=torch.float64)
    mask_BT = torch.ones_like(on_q_BT, dtype=torch.bool)
    ratio_BT = context_ratio(on_q_BT, on_context_BT, mask_BT)
    quantiles = context_ratio_quantiles(ratio_BT, mask_BT, quantiles=(0.1, 0.5, 0.9))
    return tuple(quantiles.tolist())


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def step_metrics(
    records: Sequence[GroupRecord], failure_reward_threshold: float
) -> Mapping[str, float]:
    """Figures of one optimiser step, from the records of all its groups on all ranks.

    Fractions are of the groups, except ``injection/accept_fraction``, which is of the
    candidates whose gate was open. A mean over nothing is NaN, which loggers leave out.

    Returns:
        Name -> value; every name has a line in ``docs/metrics.md``. Those under ``data/`` are there
        only in a run with several data sets, and only of sets that were drawn in this step.
    """
    count = len(records)
    wanted = [c for r in records if r.gate_open for c in r.candidates]
    accepted = [c for c in wanted if c.accepted]
    return {
        "groups/all_failed_fraction": _share(r.failure_fraction == 1.0 for r in records),
        "groups/all_passed_fraction": _share(r.failure_fraction == 0.0 for r in records),
        "groups/unscored_fraction": _share(math.isnan(r.failure_fraction) for r in records),
        "groups/no_signal_fraction": _share(
            all(member.advantage == 0.0 for member in r.members) for r in records if r.used
        ),
        "gate/open_fraction": _share(r.gate_open for r in records),
        "gate/over_length_fraction": _share(r.gate_reason == "over_length" for r in records),
        "gate/no_expert_fraction": _share(r.gate_reason == "no_expert" for r in records),
        "gate/no_draft_fraction": _share(r.gate_reason not in KNOWN_REASONS for r in records),
        "injection/candidates": float(len(wanted)),
        "injection/accepted": float(len(accepted)),
        "injection/accept_fraction": len(accepted) / len(wanted) if wanted else math.nan,
        "injection/correct_fraction": _mean(
            float(c.correctness >= failure_reward_threshold)
            for c in wanted
            if not math.isnan(c.correctness)
        ),
        "injection/rescued_fraction": sum(r.rescued for r in records) / count,
        "injection/logp_on_q": _mean(c.logp_on_q for c in accepted),
        "injection/text_logp": _mean(
            None if c.logp_on_q is None else c.logp_on_q * c.num_tokens for c in accepted
        ),
        "injection/logp_on_context": _mean(c.logp_on_context for c in accepted),
        **_ratio_quantiles(accepted),
        **_refusals(wanted, failure_reward_threshold),
        "groups/resampled": float(sum(not r.used for r in records)),
        "tokens/rollout": float(sum(_rollout_tokens(r) for r in records)),
        "tokens/rephrase": float(sum(c.num_sampled_tokens for r in records for c in r.candidates)),
        **dataset_metrics(records),
    }


def _ratio_quantiles(accepted: Sequence[CandidateRecord]) -> dict[str, float]:
    """Mean over accepted candidates of their quantiles of the context ratio."""
    known = [c.context_ratio_quantiles for c in accepted if c.context_ratio_quantiles]
    return {
        f"injection/context_ratio_{name}": _mean(quantiles[i] for quantiles in known)
        for i, name in enumerate(("p10", "p50", "p90"))
    }


def _refusals(
    wanted: Sequence[CandidateRecord], failure_reward_threshold: float
) -> dict[str, float]:
    """How many candidates were refused for which reason; one may have several."""
    names = sorted({*REFUSAL_METRICS.values(), "not_better", "other"})
    counts = dict.fromkeys(names, 0)
    for candidate in wanted:
        reasons = set()
        for refusal in candidate.refusals:
            reason = REFUSAL_METRICS.get(refusal, "other")
            if refusal == "reward_above_replaced":
                wrong = candidate.correctness < failure_reward_threshold
                reason = "wrong" if wrong else "not_better"
            reasons.add(reason)
        for reason in reasons:
            counts[reason] += 1
    return {f"refused/{name}": float(count) for name, count in counts.items()}


def _rollout_tokens(record: GroupRecord) -> int:
    """Tokens sampled for the group's own rollouts, the replaced one included."""
    own = sum(member.num_tokens for member in record.members if member.origin == "rollout")
    return own + (record.replaced.num_tokens if record.replaced is not None else 0)


def _share(flags: Iterable[bool]) -> float:
    return fmean(float(flag) for flag in flags)


def _mean(values: Iterable[float | None]) -> float:
    present = [value for value in values if value is not None]
    return fmean(present) if present else math.nan
