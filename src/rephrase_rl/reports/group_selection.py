"""Which groups a page shows, by a rule that the page states.

A run has thousands of groups. Those that teach most are the rescued ones and those with a refused
candidate; the rest shows what is normal. The file is read twice: once to count and to choose, once
to decode the chosen groups, so memory grows with the page and not with the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rephrase_rl.errors import CheckpointError
from rephrase_rl.records import GroupRecord, from_json
from rephrase_rl.reports.group_tally import GroupTally, refuse_no_group
from rephrase_rl.reports.series import evenly_spaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory

Kind: TypeAlias = Literal["refused", "rescued", "other"]
"""``refused``: a candidate was refused; else ``rescued``; else ``other``."""

KINDS: tuple[Kind, ...] = ("refused", "rescued", "other")

KIND_WORDS: dict[Kind, str] = {
    "refused": "groups with a refused candidate",
    "rescued": "other rescued groups",
    "other": "remaining groups",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """The groups to show, in the order of the run, and what they were chosen from."""

    groups: tuple[GroupRecord, ...]
    kinds: tuple[Kind, ...]
    tally: GroupTally
    available: Mapping[Kind, int]
    shown: Mapping[Kind, int]

    @property
    def rule(self) -> str:
        """One paragraph that says what is shown and what is not."""
        total = sum(self.available.values())
        if len(self.groups) == total:
            return f"All {total:,} recorded groups are shown."
        parts = [
            f"{self.shown[kind]:,} of {self.available[kind]:,} {words}"
            for kind, words in KIND_WORDS.items()
            if self.available[kind]
        ]
        return (
            f"{len(self.groups):,} of {total:,} recorded groups are shown: {'; '.join(parts)}. "
            "Refused and rescued groups come first; where not all of a kind fit, they are taken "
            f"at even distances over the run. The other {total - len(self.groups):,} groups are "
            "not on this page but in groups.jsonl and in every count of the report."
        )


def select_groups(run: RunDirectory, limit: int) -> Selection:
    """Count all groups of a run and choose at most ``limit`` of them.

    All refused and rescued groups are taken if they fit, and the rest is filled up with others.
    If they do not fit, a fifth of the places goes to others and the rest is shared between the
    two kinds. Within a kind, groups are taken at even distances over the run.

    Raises:
        CheckpointError: ``limit`` is not positive, or a line is no group.
        DataError: A group that is shown is damaged.
    """
    if limit < 1:
        raise CheckpointError(f"found a limit of {limit} groups, at least 1 is required: raise it")
    tally = GroupTally()
    places: dict[Kind, list[int]] = {kind: [] for kind in KINDS}
    for index, row in enumerate(run.group_rows()):
        refuse_no_group(run, index + 1, row)
        tally.add(row)
        places[kind_of(row)].append(index)
    available = {kind: len(places[kind]) for kind in KINDS}
    shown = share_places(available, limit)
    chosen = {index: kind for kind in KINDS for index in evenly_spaced(places[kind], shown[kind])}
    groups: list[GroupRecord] = []
    kinds: list[Kind] = []
    for index, row in enumerate(run.group_rows()):
        if index in chosen:
            groups.append(from_json(GroupRecord, row))
            kinds.append(chosen[index])
    return Selection(tuple(groups), tuple(kinds), tally, available, shown)


def kind_of(row: Mapping[str, JSON]) -> Kind:
    """Return the kind of one group, given as plain JSON."""
    if any(not candidate["accepted"] for candidate in row.get("candidates") or ()):
        return "refused"
    return "rescued" if row.get("rescued") else "other"


def share_places(available: Mapping[Kind, int], limit: int) -> dict[Kind, int]:
    """Return how many groups of each kind are shown; the sum never exceeds ``limit``.

    Example:
        >>> share_places({"refused": 3, "rescued": 5, "other": 100}, 20)
        {'refused': 3, 'rescued': 5, 'other': 12}
        >>> share_places({"refused": 10, "rescued": 90, "other": 100}, 50)
        {'refused': 10, 'rescued': 30, 'other': 10}
    """
    telling = available["refused"] + available["rescued"]
    other = min(available["other"], limit - telling if telling <= limit else limit // 5)
    rest = limit - other
    refused = min(available["refused"], max(rest - available["rescued"], (rest + 1) // 2))
    rescued = min(available["rescued"], rest - refused)
    return {"refused": refused, "rescued": rescued, "other": other}
