"""From guided groups to records, and from records to the metrics of a step.

Metrics are computed from ``GroupRecord``s alone, so a report can compute them again from
``groups.jsonl`` and no second truth exists.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from rephrase_rl.records import CandidateRecord, GroupRecord, MemberRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rephrase_rl.guidance.blocks import StepContext
    from rephrase_rl.guidance.step import GuidedGroup
    from rephrase_rl.records import Candidate, Rollout


def group_record(
    guided: GuidedGroup,
    advantages: Sequence[float],
    candidate_logps: Sequence[tuple[float, float]],
    context: StepContext,
) -> GroupRecord:
    """Put down one group as it was trained on, and why.

    Args:
        guided: The group after guidance.
        advantages: One per member, in order.
        candidate_logps: Per candidate its mean log-prob per token (nats) given q and given P(q, k);
            empty if not measured.
        context: Step and rank.
    """
    problem = guided.group.problem
    logps = list(candidate_logps) or [(math.nan, math.nan)] * len(guided.candidates)
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
        candidates=tuple(
            _candidate(candidate, *pair)
            for candidate, pair in zip(guided.candidates, logps, strict=True)
        ),
        slot=guided.slot,
        replaced=None if guided.replaced is None else _member(guided.replaced, math.nan),
        rescued=guided.rescued,
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


def _candidate(candidate: Candidate, logp_on_q: float, logp_on_context: float) -> CandidateRecord:
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
        logp_on_q=None if math.isnan(logp_on_q) else logp_on_q,
        logp_on_context=None if math.isnan(logp_on_context) else logp_on_context,
    )


def step_metrics(
    records: Sequence[GroupRecord], failure_reward_threshold: float
) -> Mapping[str, float]:
    """Figures of one optimiser step, from the records of all its groups on all ranks.

    Fractions are of the groups, except ``injection/accept_fraction``, which is of the
    candidates whose gate was open. A mean over nothing is NaN, which loggers leave out.

    Returns:
        Name -> value; every name has a line in ``docs/metrics.md``.
    """
    count = len(records)
    wanted = [c for r in records if r.gate_open for c in r.candidates]
    accepted = [c for c in wanted if c.accepted]
    return {
        "groups/all_failed_fraction": _share(r.failure_fraction == 1.0 for r in records),
        "groups/all_passed_fraction": _share(r.failure_fraction == 0.0 for r in records),
        "groups/unscored_fraction": _share(math.isnan(r.failure_fraction) for r in records),
        "groups/no_signal_fraction": _share(
            all(member.advantage == 0.0 for member in r.members) for r in records
        ),
        "gate/open_fraction": _share(r.gate_open for r in records),
        "gate/over_length_fraction": _share(r.gate_reason == "over_length" for r in records),
        "gate/no_expert_fraction": _share(r.gate_reason == "no_expert" for r in records),
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
        "injection/logp_on_context": _mean(c.logp_on_context for c in accepted),
        "tokens/rollout": float(sum(_rollout_tokens(r) for r in records)),
        "tokens/rephrase": float(sum(c.num_sampled_tokens for r in records for c in r.candidates)),
    }


def _rollout_tokens(record: GroupRecord) -> int:
    """Tokens sampled for the group's own rollouts, the replaced one included."""
    own = sum(member.num_tokens for member in record.members if member.origin == "rollout")
    return own + (record.replaced.num_tokens if record.replaced is not None else 0)


def _share(flags: Iterable[bool]) -> float:
    return fmean(float(flag) for flag in flags)


def _mean(values: Iterable[float | None]) -> float:
    present = [value for value in values if value is not None]
    return fmean(present) if present else math.nan
