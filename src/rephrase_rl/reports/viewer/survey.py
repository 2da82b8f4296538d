"""The first reading of a run's groups: counts, the ledger, and where pages begin and end.

The file is read twice, here and for the contents of the pages, so that memory grows with one page
and the counts, and not with the texts of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.records import GroupRecord, from_json
from rephrase_rl.reports.group_tally import GroupTally, refuse_no_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.records import JSON
    from rephrase_rl.runs import RunDirectory

GROUPS_PER_PAGE = 2000
"""Most groups of one page."""
TEXT_PER_PAGE = 24_000_000
"""Most characters of texts of one page: compressed, they are about 10 MB."""


@dataclass(slots=True)
class PageSpan:
    """The groups of one page."""

    number: int
    """From 1."""
    first: int
    """Number of its first group in the run, from 0."""
    first_step: int
    count: int = 0
    last_step: int = 0
    rescued: int = 0
    characters: int = 0
    """Length of all texts, before anything is compressed."""

    @property
    def file(self) -> str:
        """Its name; the first page is the report's cover."""
        return "index.html" if self.number == 1 else f"groups-{self.number}.html"


@dataclass(slots=True)
class Survey:
    """What is known of a run before any page is made."""

    tally: GroupTally = field(default_factory=GroupTally)
    ledger: Ledger = field(default_factory=Ledger)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    """Problem -> numbers of its groups, in the order of the ledger's visits."""
    pages: list[PageSpan] = field(default_factory=lambda: [PageSpan(1, 0, 0)])
    """At least one, which is empty if there are no groups."""


def survey_groups(run: RunDirectory, groups_per_page: int = GROUPS_PER_PAGE) -> Survey:
    """Read all groups of a run once.

    Raises:
        CheckpointError: A line is no record of a group.
        DataError: A value has the wrong type, or steps go backwards.
    """
    survey = Survey()
    for number, row in enumerate(run.group_rows()):
        refuse_no_group(run, number + 1, row)
        survey.tally.add(row)
        # Texts of members are most of the file and nothing of the ledger.
        record = from_json(GroupRecord, row | {"members": [], "replaced": None})
        survey.ledger.observe([record])
        survey.numbers.setdefault(record.problem_id, []).append(number)
        _enter(survey.pages, number, record, _characters(row), groups_per_page)
    return survey


def _enter(
    pages: list[PageSpan], number: int, record: GroupRecord, characters: int, limit: int
) -> None:
    """Add a group to the last page, or begin another if it is full."""
    page = pages[-1]
    if page.count and (page.count == limit or page.characters + characters > TEXT_PER_PAGE):
        page = PageSpan(page.number + 1, number, record.step)
        pages.append(page)
    if not page.count:
        page.first_step = record.step
    page.count += 1
    page.last_step = record.step
    page.rescued += record.rescued
    page.characters += characters


def _characters(row: Mapping[str, JSON]) -> int:
    """Length of the texts of a group; those of no text are told when they are shown."""
    own = [row.get(name) for name in ("question", "reference_answer", "expert_solution")]
    members = [member.get("text") for member in row["members"]]
    candidates = [c.get(name) for c in row.get("candidates") or () for name in ("text", "raw_text")]
    return sum(len(text) for text in (*own, *members, *candidates) if isinstance(text, str))
