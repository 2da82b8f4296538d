"""One group: its row in the table, and the group in full with a sentence on what became of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from rephrase_rl.errors import DataError
from rephrase_rl.guidance.overlap import copied_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import (
        JSON,
        CandidateRecord,
        GroupRecord,
        MemberRecord,
        TokenRecord,
    )

Outcome: TypeAlias = Literal["none", "part", "full", "unscored"]
"""How much of the correctness reward a member got; colours the marks."""

GATE_WORDS = {
    "open": "gate open",
    "closed": "gate closed",
    "no_expert": "no expert text",
    "unscored": "nothing scored",
    "over_length": "rephrase prompt too long",
}

COPIED_FROM = 0.5
"""Share of words in passages of the expert's from which a candidate counts as copied."""
COPY_RULE = "not_copied"


def copied_shares(record: GroupRecord) -> list[float]:
    """Of each candidate, the share of words in passages of the expert's; NaN without an expert."""
    expert = record.expert_solution
    if expert is None:
        return [math.nan] * len(record.candidates)
    return [1.0 if c.text == expert else copied_share(c.text, expert) for c in record.candidates]


def table_row(record: GroupRecord, copied: Sequence[float]) -> dict[str, JSON]:
    """What the table shows, sorts and filters by; ``copied`` is from ``copied_shares``."""
    candidate = shown_candidate(record)
    row: dict[str, JSON] = {
        "step": record.step,
        "tags": tags_of(record, copied),
        "rules": sorted({rule for c in record.candidates for rule in c.refusals}),
        "gate": GATE_WORDS.get(record.gate_reason, record.gate_reason),
        "failed": rounded(record.failure_fraction),
        "before": [mark_of(member) for member in members_before(record)],
        "reward": rounded(_mean([member.reward for member in record.members])),
    }
    if record.slot is not None:
        row |= {"slot": record.slot, "after": mark_of(record.members[record.slot])}
    if candidate is not None:
        row |= {"logp_q": rounded(candidate.logp_on_q), "tokens": candidate.num_tokens}
        row |= {"logp_context": rounded(candidate.logp_on_context)}
    return row


def tags_of(record: GroupRecord, copied: Sequence[float]) -> list[str]:
    """The filters that a group passes."""
    candidates = record.candidates
    kinds = {
        "rescued": record.rescued,
        "injected": record.slot is not None,
        "accepted": any(c.accepted for c in candidates),
        "refused": any(not c.accepted for c in candidates),
        "failed": record.failure_fraction == 1.0,
        "passed": record.failure_fraction == 0.0,
        "copied": any(share >= COPIED_FROM for share in copied)
        or any(COPY_RULE in c.refusals for c in candidates),
        "unused": not record.used,
    }
    return [name for name, holds in kinds.items() if holds]


def full_group(record: GroupRecord, copied: Sequence[float]) -> dict[str, JSON]:
    """Everything about a group that its row and its problem do not hold."""
    return {
        "verdict": verdict_of(record),
        "rank": record.rank,
        "placement": record.placement,
        "members": [_member(member) for member in record.members],
        "candidates": [
            _candidate(candidate, share)
            for candidate, share in zip(record.candidates, copied, strict=True)
        ],
        "replaced": None if record.replaced is None else _member(record.replaced),
    }


def members_before(record: GroupRecord) -> list[MemberRecord]:
    """The group as it was sampled, with the replaced rollout back in its place."""
    before = list(record.members)
    if record.slot is not None and record.replaced is not None:
        before[record.slot] = record.replaced
    return before


def shown_candidate(record: GroupRecord) -> CandidateRecord | None:
    """The candidate that stands for a group: the accepted one, else the first."""
    accepted = [candidate for candidate in record.candidates if candidate.accepted]
    return next(iter([*accepted, *record.candidates]), None)


def mark_of(member: MemberRecord) -> list[JSON]:
    """Reward and outcome of a member, as the squares of the table show it."""
    return [rounded(member.reward), outcome_of(member.correctness)]


def outcome_of(correctness: float) -> Outcome:
    """Return how much of a correctness reward in [0, 1] a member got."""
    if math.isnan(correctness):
        return "unscored"
    if correctness <= 0.0:
        return "none"
    return "full" if correctness >= 1.0 else "part"


def verdict_of(record: GroupRecord) -> str:
    """Say in one sentence how the group ended as it did."""
    if math.isnan(record.failure_fraction):
        start = "No rollout could be scored"
    elif record.failure_fraction in (0.0, 1.0):
        start = f"{'All' if record.failure_fraction else 'None'} of the scored rollouts failed"
    else:
        start = f"{record.failure_fraction:.0%} of the scored rollouts failed"
    accepted = sum(candidate.accepted for candidate in record.candidates)
    refused = len(record.candidates) - accepted
    if record.slot is not None:
        origin = record.members[record.slot].origin
        end = f"a {origin} took place {record.slot}"
        if record.rescued:
            end += ", and the group, which had no spread, has one now"
    elif accepted:
        end = (
            "an accepted candidate went to the supervised stream"
            if record.placement == "stream"
            else "a candidate was accepted but none was put in"
        )
    elif refused:
        what = "the candidate was" if refused == 1 else f"all {refused} candidates were"
        end = f"{what} refused and the group stayed as sampled"
    else:
        reason = GATE_WORDS.get(record.gate_reason, record.gate_reason)
        end = f"nothing was brought in ({reason})"
    unused = "" if record.used else " Dynamic sampling then put another group in its place."
    return f"{start}; {end}.{unused}"


def rounded(value: float | None) -> float | None:
    """A number as pages keep it: five significant digits; None where there is none."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _member(member: MemberRecord) -> dict[str, JSON]:
    return {
        "text": member.text,
        "origin": member.origin,
        "reward": rounded(member.reward),
        "correctness": rounded(member.correctness),
        "advantage": rounded(member.advantage),
        "tokens": member.num_tokens,
        "finished": member.finished,
    }


def _candidate(candidate: CandidateRecord, copied: float) -> dict[str, JSON]:
    return {
        "text": candidate.text,
        "raw": None if candidate.raw_text == candidate.text else candidate.raw_text,
        "removed": candidate.removed_meta,
        "origin": candidate.origin,
        "reward": rounded(candidate.reward),
        "correctness": rounded(candidate.correctness),
        "tokens": candidate.num_tokens,
        "sampled": candidate.num_sampled_tokens,
        "prefix": candidate.num_prefix_tokens,
        "finished": candidate.finished,
        "accepted": candidate.accepted,
        "refusals": candidate.refusals,
        "logp_q": rounded(candidate.logp_on_q),
        "logp_context": rounded(candidate.logp_on_context),
        "copied": rounded(copied),
        "heat": None if candidate.tokens is None else heat_of(candidate.tokens, candidate.text),
    }


def heat_of(tokens: TokenRecord, text: str) -> dict[str, JSON]:
    """Tokens as pages keep them: lengths of their pieces in the text, log-probs in 1/100 nats.

    Raises:
        DataError: There are not as many log-probs as tokens.
    """
    on_q, on_context = tokens.logps_on_q, tokens.logps_on_context
    counts = {len(tokens.pieces), len(on_q), len(on_q if on_context is None else on_context)}
    if len(counts) > 1:
        raise DataError(
            f"groups.jsonl: found a candidate with {len(tokens.pieces)} tokens and {len(on_q)} "
            "log-probs; required: one for each token; restore the file from a copy"
        )
    joined = "".join(tokens.pieces)
    return {
        "text": None if joined == text else joined,
        "lengths": [len(piece) for piece in tokens.pieces],
        "q": _hundredths(on_q),
        "context": None if on_context is None else _hundredths(on_context),
    }


def _hundredths(logps: Sequence[float]) -> list[int | None]:
    return [round(100 * value) if math.isfinite(value) else None for value in logps]


def _mean(values: Sequence[float]) -> float:
    scored = [value for value in values if not math.isnan(value)]
    return math.fsum(scored) / len(scored) if scored else math.nan
