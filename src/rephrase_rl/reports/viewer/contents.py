"""The data of one page: rows of its table, its problems and texts, and its groups in full.

What the table needs is read when the page opens; groups in full lie in pieces of ``PIECE`` groups
that are read when one of them is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rephrase_rl.reports.viewer.embedding import embed_json, pack
from rephrase_rl.reports.viewer.group import full_group, rounded, table_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from rephrase_rl.guidance.ledger import ProblemHistory
    from rephrase_rl.records import JSON, GroupRecord
    from rephrase_rl.reports.viewer.survey import PageSpan, Survey
    from rephrase_rl.runs import RunDirectory

PIECE = 25
"""Groups that are compressed together: fewer and one opens faster, more and the page is smaller."""


@dataclass(frozen=True, slots=True)
class PageContents:
    """One page, ready for the template."""

    span: PageSpan
    data: Markup
    """What is read when the page opens."""
    pieces: Markup
    """Groups in full."""


@dataclass(slots=True)
class _Gathering:
    """A page while its groups are read."""

    rows: list[JSON] = field(default_factory=list)
    problems: dict[str, int] = field(default_factory=dict)
    texts: dict[tuple[str, str, str | None], int] = field(default_factory=dict)
    pieces: list[str] = field(default_factory=list)
    piece: list[JSON] = field(default_factory=list)

    def add(self, number: int, record: GroupRecord) -> None:
        given = (record.question, record.reference_answer, record.expert_solution)
        self.rows.append(
            {
                "number": number,
                "problem": self.problems.setdefault(record.problem_id, len(self.problems)),
                "text": self.texts.setdefault(given, len(self.texts)),
                **table_row(record),
            }
        )
        self.piece.append(full_group(record))
        if len(self.piece) == PIECE:
            self.close()

    def close(self) -> None:
        if self.piece:
            self.pieces.append(pack(self.piece))
            self.piece = []


def page_contents(
    run: RunDirectory, survey: Survey, cover: dict[str, JSON]
) -> Iterator[PageContents]:
    """Yield the pages of a run, the cover first.

    Args:
        run: Read once more.
        survey: Of the same run. Groups that were added since are left out.
        cover: Data that stand on the cover only, such as curves.

    Raises:
        DataError: A group is damaged.
    """
    records = enumerate(run.groups())
    spans = [
        {"file": p.file, "first": p.first, "count": p.count, "rescued": p.rescued,
         "first_step": p.first_step, "last_step": p.last_step} for p in survey.pages
    ]  # fmt: skip
    for span in survey.pages:
        page = _Gathering()
        for number, record in itertools.islice(records, span.count):
            page.add(number, record)
        page.close()
        if span.number == 1:
            # The cover lists the problems of the whole run; its own come first.
            for problem_id in survey.numbers:
                page.problems.setdefault(problem_id, len(page.problems))
        index = {
            "rows": page.rows,
            "problems": [
                _problem(survey.ledger.problem(name), survey.numbers[name])
                for name in page.problems
            ],
            "texts": [
                {"question": question, "answer": answer, "expert": expert}
                for question, answer, expert in page.texts
            ],
        }
        data = {
            "page": span.number,
            "pages": spans,
            "piece": PIECE,
            "index": pack(index),
            **(cover if span.number == 1 else {"charts": [], "ledger": []}),
        }
        yield PageContents(span, embed_json(data), embed_json(page.pieces))


def _problem(history: ProblemHistory, numbers: Sequence[int]) -> dict[str, JSON]:
    """A problem over time. Visits are lists, since a run has as many as it has groups."""
    solve = history.first_unguided_solve
    return {
        "id": history.problem_id,
        "dataset": history.dataset,
        "hard": history.initially_all_failed,
        "solved": None if solve is None else solve.step,
        "injections": history.interventions,
        "visits": [
            [visit.step, rounded(visit.pass_fraction), int(visit.gate_open), int(visit.injected), n]
            for visit, n in zip(history.visits, numbers, strict=True)
        ],
    }
