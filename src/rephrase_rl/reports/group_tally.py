"""What guidance did over a whole run, counted from the group records in one pass."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError
from rephrase_rl.guidance.dataset_figures import DatasetFigures
from rephrase_rl.records import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory


READS_EXPERT = ("rephrase", "expert", "prefix", "refinement")
"""Origins of candidates that are made from the expert's text."""


@dataclass(slots=True)
class GroupTally:
    """Counts over every group that was recorded, shown on a page or not."""

    groups: int = 0
    gate_reasons: Counter[str] = field(default_factory=Counter)
    injected: int = 0
    rescued: int = 0
    candidates: int = 0
    accepted: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By rule; a candidate refused by two rules counts in both."""
    members: int = 0
    members_truncated: int = 0
    members_unscorable: int = 0
    problems: set[str] = field(default_factory=set)
    """Ids of the problems seen."""
    expert_problems: set[str] = field(default_factory=set)
    """Ids of those whose expert text was used for a candidate."""
    by_dataset: dict[str, DatasetFigures] = field(default_factory=dict)
    """Of a run with several data sets."""

    def add(self, row: Mapping[str, JSON]) -> None:
        """Count one group, given as plain JSON."""
        candidates = row.get("candidates") or ()
        self.groups += 1
        self.gate_reasons[row["gate_reason"]] += 1
        self.injected += row.get("slot") is not None
        self.rescued += bool(row.get("rescued"))
        self.candidates += len(candidates)
        self.accepted += sum(bool(candidate["accepted"]) for candidate in candidates)
        for candidate in candidates:
            self.refusals.update(candidate["refusals"])
        self.problems.add(str(row.get("problem_id")))
        if any(candidate.get("origin") in READS_EXPERT for candidate in candidates):
            self.expert_problems.add(str(row.get("problem_id")))
        self.members += len(row["members"])
        self.members_truncated += sum(not member["finished"] for member in row["members"])
        self.members_unscorable += sum(m["correctness"] is None for m in row["members"])
        if row.get("dataset"):
            failed = row["failure_fraction"]
            self.by_dataset.setdefault(row["dataset"], DatasetFigures()).add(
                math.nan if failed is None else failed,
                row["gate_open"],
                row.get("used", True) and any(candidate["accepted"] for candidate in candidates),
            )

    @property
    def gate_open(self) -> int:
        """Groups whose gate opened."""
        return self.gate_reasons["open"]

    def to_json(self) -> dict[str, JSON]:
        """Return the counts as plain JSON, most frequent reasons first."""
        return {
            "groups": self.groups,
            "gate_reasons": dict(_by_frequency(self.gate_reasons)),
            "injected": self.injected,
            "rescued": self.rescued,
            "candidates": self.candidates,
            "accepted": self.accepted,
            "refusals": dict(_by_frequency(self.refusals)),
            "members": self.members,
            "members_truncated": self.members_truncated,
            "members_unscorable": self.members_unscorable,
        } | ({"by_dataset": self._datasets_json()} if self.by_dataset else {})

    def _datasets_json(self) -> dict[str, JSON]:
        return {
            name: to_json(of_set) | {"pass_fraction": to_json(of_set.pass_fraction)}
            for name, of_set in sorted(self.by_dataset.items())
        }


def tally_groups(run: RunDirectory) -> GroupTally:
    """Count every group of a run.

    Raises:
        CheckpointError: A line is no group.
    """
    tally = GroupTally()
    for number, row in enumerate(run.group_rows(), start=1):
        refuse_no_group(run, number, row)
        tally.add(row)
    return tally


def refuse_no_group(run: RunDirectory, number: int, row: Mapping[str, JSON]) -> None:
    """Refuse a line of ``groups.jsonl``, counted from 1, that is no group.

    Raises:
        CheckpointError: It is none.
    """
    if not is_group(row):
        raise CheckpointError(
            f"{run.path / 'groups.jsonl'}: line {number} is no record of a group; the file "
            "was changed from outside: restore it from a copy"
        )


def is_group(row: Mapping[str, JSON]) -> bool:
    """Whether what is counted of a group has the right types; the rest is checked when shown."""
    candidates, members = row.get("candidates") or (), row.get("members")
    failed = row.get("failure_fraction")
    return (
        isinstance(row.get("gate_reason"), str)
        and isinstance(row.get("dataset") or "", str)
        and (failed is None or type(failed) in (int, float))
        and type(row.get("gate_open")) is bool
        and isinstance(members, list)
        and all(isinstance(m, dict) and "finished" in m and "correctness" in m for m in members)
        and _is_place(row.get("slot"), len(members))
        and isinstance(candidates, list | tuple)
        and all(
            isinstance(c, dict)
            and type(c.get("accepted")) is bool
            and isinstance(c.get("refusals"), list)
            and all(isinstance(rule, str) for rule in c["refusals"])
            for c in candidates
        )
    )


def _is_place(slot: JSON, count: int) -> bool:
    return slot is None or (type(slot) is int and 0 <= slot < count)


def _by_frequency(counts: Counter[str]) -> list[tuple[str, int]]:
    """Sort by count, then by name, so that ties do not depend on the order of arrival."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
