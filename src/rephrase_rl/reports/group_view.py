"""A group as its page shows it: the marks before and after, and what there is to say about each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rephrase_rl.reports import numbers

if TYPE_CHECKING:
    from rephrase_rl.records import GroupRecord, MemberRecord
    from rephrase_rl.reports.group_selection import Kind, Selection

Outcome: TypeAlias = Literal["none", "part", "full", "unscored"]
"""How much of the correctness reward a member got; colours the marks."""

GATE_WORDS = {
    "open": "gate open",
    "closed": "gate closed",
    "no_expert": "no expert text",
    "unscored": "nothing scored",
    "over_length": "rephrase prompt too long",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One member in the row of marks."""

    reward: str
    outcome: Outcome
    is_slot: bool
    """Whether this is the place that was replaced."""
    title: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group, ready for the template."""

    anchor: str
    kind: Kind
    record: GroupRecord
    gate: str
    before: tuple[Mark, ...]
    after: tuple[Mark, ...]
    """Empty if nothing was injected."""
    verdict: str
    """One sentence: what happened and why."""


def view_groups(selection: Selection) -> list[GroupView]:
    """Prepare the selected groups, in the order of the run."""
    return [
        _view(record, kind, f"g{number}")
        for number, (record, kind) in enumerate(
            zip(selection.groups, selection.kinds, strict=True), start=1
        )
    ]


def outcome_of(correctness: float) -> Outcome:
    """Return how much of a correctness reward in [0, 1] a member got."""
    if math.isnan(correctness):
        return "unscored"
    if correctness <= 0.0:
        return "none"
    return "full" if correctness >= 1.0 else "part"


def _view(record: GroupRecord, kind: Kind, anchor: str) -> GroupView:
    before = list(record.members)
    if record.slot is not None and record.replaced is not None:
        before[record.slot] = record.replaced
    after = record.members if record.slot is not None else ()
    return GroupView(
        anchor=anchor,
        kind=kind,
        record=record,
        gate=GATE_WORDS.get(record.gate_reason, record.gate_reason),
        before=_marks(tuple(before), record.slot),
        after=_marks(after, record.slot),
        verdict=_verdict(record),
    )


def _marks(members: tuple[MemberRecord, ...], slot: int | None) -> tuple[Mark, ...]:
    return tuple(
        Mark(
            reward=numbers.reward(member.reward),
            outcome=outcome_of(member.correctness),
            is_slot=place == slot,
            title=(
                f"place {place}: {member.origin}, reward {numbers.reward(member.reward)}"
                f"{', replaced' if place == slot and member.origin == 'rollout' else ''}"
            ),
        )
        for place, member in enumerate(members)
    )


def _verdict(record: GroupRecord) -> str:
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
    elif refused:
        end = f"{_candidates(refused)} refused and the group stayed as sampled"
    elif accepted:
        end = "a candidate was accepted but none was put in"
    else:
        reason = GATE_WORDS.get(record.gate_reason, record.gate_reason)
        end = f"nothing was brought in ({reason})"
    return f"{start}; {end}."


def _candidates(refused: int) -> str:
    return "the candidate was" if refused == 1 else f"all {refused} candidates were"
