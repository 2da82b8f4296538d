"""A mapping for a file that nobody described yet: a named one that fits, or one by columns."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.data.column_roles import MOSTLY, ROLES, Columns
from rephrase_rl.data.columns import value_at
from rephrase_rl.data.faults import BadRow
from rephrase_rl.data.guessing_task import (
    ENDS_WITH_OPTIONS,
    OPTIONS_IN_QUESTION,
    ends_with_options,
    is_letter,
    say_kind,
    say_task,
    share,
)
from rephrase_rl.data.named_mappings import get_mapping, mapping_names
from rephrase_rl.data.problems import scan_problems
from rephrase_rl.data.sources import scan_rows
from rephrase_rl.data.tables import PLAIN_TABLE, TableFormat
from rephrase_rl.errors import DataError
from rephrase_rl.records import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.data.mappings import ColumnMapping

SAMPLE_ROWS = 100
NAMED_ROWS = 50
"""First rows that a named mapping has to read."""


_NO_ANSWER = "no column for the checkable answer"
_TABLE_SUFFIX = re.compile(r"\.(?:csv|tsv)(?:\.gz)?\Z")


@dataclass(frozen=True, slots=True)
class MappingGuess:
    """What a file's columns most likely mean."""

    mapping: str | dict[str, Any]
    """A mapping's name, or the fields of a mapping by columns, as a configuration holds them."""
    reasons: tuple[str, ...]
    """One sentence for each decision."""


def guess_mapping(
    path: str | Path,
    *,
    split: str = "train",
    named: Mapping[str, str] | None = None,
    task: str | None = None,
) -> MappingGuess:
    """Guess which column is what from the first rows.

    A named mapping is taken if it reads these rows, a few faulty ones aside, and its expert's
    column is there; else columns are found by their names and by what stands in them.

    Args:
        path: See ``read_rows``.
        split: Split of a data set; files have none.
        named: Part (see ``ROLES``) -> column, as the user says it; never overruled.
        task: The task kind, as the user says it. None: found out by the answers.

    Raises:
        DataError: The source cannot be read or has no rows; a part is unknown; a column is not
            there; or no column for the question or the answer is found.
    """
    said = dict(named or {})
    unknown = [role for role in said if role not in ROLES]
    if unknown:
        raise DataError(
            f"found part {', '.join(map(repr, unknown))}; required: one of {', '.join(ROLES)}"
        )
    if not said:
        fitting = _fitting_name(path, split)
        if fitting is not None:
            return fitting if task is None else of_task(fitting, task)
    table = _table_of(path, split)
    columns = Columns(_first_rows(path, split, table))
    fields, reasons = _fields(columns, said, task)
    if table.delimiter is not None:
        fields["table"] = {"delimiter": table.delimiter}
        reasons.append(f"cells are separated by {table.delimiter!r}")
    return MappingGuess(fields, tuple(reasons))


def of_task(guess: MappingGuess, task: str) -> MappingGuess:
    """A named mapping with the task kind that the user says."""
    fields = guess.mapping if isinstance(guess.mapping, dict) else {"like": guess.mapping}
    told = (*guess.reasons, f"the task is {task}: you said so")
    return MappingGuess({**fields, "default_task_kind": task}, told)


def _first_rows(path: str | Path, split: str, table: TableFormat) -> list[dict[str, Any]]:
    scanned = itertools.islice(scan_rows(path, split=split, table=table), SAMPLE_ROWS)
    rows = [row.values for row in scanned if row.values is not None]
    if not rows:
        raise DataError(f"{path}: found no readable row; required: at least one; check the file")
    return rows


def _table_of(path: str | Path, split: str) -> TableFormat:
    """The delimiter under which most rows are readable and have most cells; the usual one first."""
    if not _TABLE_SUFFIX.search(str(path)):
        return PLAIN_TABLE
    formats = (PLAIN_TABLE, *(TableFormat(delimiter=delimiter) for delimiter in ";\t|"))
    return max(formats, key=lambda table: _readable_cells(path, split, table))


def _readable_cells(path: str | Path, split: str, table: TableFormat) -> tuple[int, int]:
    try:
        scanned = list(itertools.islice(scan_rows(path, split=split, table=table), 20))
    except DataError:
        return 0, 0
    readable = [row.values for row in scanned if row.values is not None and len(row.values) > 1]
    return len(readable), max(map(len, readable), default=0)


def _fitting_name(path: str | Path, split: str) -> MappingGuess | None:
    """The named mapping that reads the first rows and uses most of their columns.

    One that reads all of them comes before one that reads most: a faulty row is no reason to take
    the data for something else.
    """
    named = [(name, get_mapping(name)) for name in mapping_names()]
    fits = _fits(path, split, named)
    if not any(fit.reads_all for fit in fits):
        blank = [
            (name, dataclasses.replace(mapping, expert_form="text_or_blank"))
            for name, mapping in named
            if mapping.expert_solution is not None and mapping.expert_form == "text"
        ]
        fits += _fits(path, split, blank)
    if not fits:
        return None
    name, mapping, *_, faults = max(fits, key=lambda fit: fit.rank)
    fields: dict[str, Any] = {}
    reasons = [f"the columns are those of the mapping {name}"]
    if mapping.expert_form != get_mapping(name).expert_form:
        fields["expert_form"] = mapping.expert_form
        reasons.append("some experts are blank, and their problems train without them")
    reasons += faults
    if not mapping.has_options and _asks_for_letters(path, split, mapping):
        fields |= {**OPTIONS_IN_QUESTION, "answer_form": "letter"}
        reasons.append(ENDS_WITH_OPTIONS)
    return MappingGuess({"like": name, **fields} if fields else name, tuple(reasons))


def _asks_for_letters(path: str | Path, split: str, mapping: ColumnMapping) -> bool:
    """Whether questions end with options and answers are letters, under a mapping without them."""
    items = itertools.islice(scan_problems(path, mapping=mapping, split=split), SAMPLE_ROWS)
    problems = [item for item in items if isinstance(item, Problem)]
    letters = share([problem.reference_answer.strip() for problem in problems], is_letter)
    options = share([problem.question for problem in problems], ends_with_options)
    return min(letters, options) >= MOSTLY


class _Fit(NamedTuple):
    """A mapping that fits the first rows."""

    name: str
    mapping: ColumnMapping
    rank: tuple[bool, bool, bool, int, int]
    """Reads every row, finds experts, has options, columns used, rows read: the higher the
    better."""
    faults: tuple[str, ...]
    """A sentence on the rows that it does not read, if there are any."""

    @property
    def reads_all(self) -> bool:
        """Whether no row is faulty."""
        return self.rank[0]


def _fits(path: str | Path, split: str, named: Sequence[tuple[str, ColumnMapping]]) -> list[_Fit]:
    """Those of some mappings that read most of the first rows and are of their kind."""
    found = []
    for name, mapping in named:
        try:
            scanned = scan_problems(path, mapping=mapping, split=split)
            items = list(itertools.islice(scanned, NAMED_ROWS))
            raw = scan_rows(path, split=split, table=mapping.table)
            rows = [row.values or {} for row in itertools.islice(raw, len(items))]
        except DataError:
            continue
        problems = [item for item in items if isinstance(item, Problem)]
        bad = [item.number for item in items if isinstance(item, BadRow)]
        if not problems or len(problems) < MOSTLY * len(items):
            continue
        used = [p for p in mapping.paths() if any(value_at(row, p) is not None for row in rows)]
        if not _has_its_columns(mapping, used):
            continue
        has_expert = any(problem.expert_solution is not None for problem in problems)
        rank = (not bad, has_expert, mapping.has_options, len(used), len(problems))
        found.append(_Fit(name, mapping, rank, _said_of(bad, len(items))))
    return found


def _said_of(bad: Sequence[int], num_rows: int) -> tuple[str, ...]:
    if not bad:
        return ()
    first = ", ".join(map(str, bad[:3])) + (" ..." if len(bad) > 3 else "")
    return (f"{len(bad)} of the first {num_rows} rows do not fit it, and are faulty: {first}",)


def _has_its_columns(mapping: ColumnMapping, used: Sequence[str]) -> bool:
    """Whether a file that a mapping can read is of its kind: its expert's column is there."""
    own_format = mapping.name == "canonical" or "." in (mapping.reference_answer or "")
    expert = mapping.expert_solution
    no_thoughts = not mapping.options_in_question or mapping.answer_form == "letter"
    if expert is None:
        return no_thoughts or mapping.worked_answer is not None
    return own_format or expert in used


def _fields(
    columns: Columns, said: dict[str, str], task: str | None
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a mapping by columns, and why."""
    absent = [path for path in said.values() if not columns.values(path)]
    if absent:
        raise _cannot(columns, f"no column {', '.join(map(repr, absent))}, or nothing in it")
    fields: dict[str, Any] = {}
    reasons: list[str] = []

    def take(role: str, path: str, why: str) -> None:
        fields[role] = path
        reasons.append(f"{role} is {path!r}: {'you said so' if said.get(role) == path else why}")

    question = said.get("question") or _first(columns.named("question"), columns.is_question)
    if question is None:
        raise _without_question(columns, said)
    take("question", question, "its name and its texts")
    others = {*said.values(), question}
    for role, fits in (
        ("options", columns.is_options),
        ("unit", columns.is_short),
        ("context", columns.is_question),
        ("problem_id", columns.is_short),
    ):
        path = said.get(role) or _first(columns.named(role), fits, others)
        if path is not None and (role != "problem_id" or _all_differ(columns, path)):
            take(role, path, "its name")
            others.add(path)
    _take_answer(columns, said, others, take)
    _take_expert(columns, said, others, fields, take)
    reasons += _unnamed_texts(columns, fields)
    before = len(reasons)
    say_kind(columns, fields, reasons)
    if task is not None and task != fields.get("default_task_kind", "math"):
        del reasons[before:]
        say_task(task, fields, reasons)
    return fields, reasons


def _take_answer(columns: Columns, said: dict[str, str], others: set[str], take: Any) -> None:
    candidates = [path for path in columns.named("reference_answer") if path not in others]
    answer = said.get("reference_answer") or _first(candidates, columns.is_short)
    if answer is not None:
        take("reference_answer", answer, "its name and its short texts")
        others.add(answer)
        return
    texts = [*candidates, *(p for p in columns.named("expert_solution") if p not in others)]
    texts += [path for path in said.values() if path not in texts]
    worked = _first(texts, columns.is_worked)
    if worked is not None:
        take("worked_answer", worked, "its texts end with a line '#### N'")
        others.add(worked)
        return
    boxed = _first(texts, lambda path: columns.share_with(path, r"\boxed") >= MOSTLY)
    if boxed is not None:
        take("boxed_answer", boxed, r"its texts hold the answer in \boxed{}")
        return
    free = _first(candidates, columns.is_text)
    if free is None:
        raise _cannot(columns, _NO_ANSWER, "reference_answer")
    take("reference_answer", free, "its name; its texts are long, so answers are compared as texts")
    others.add(free)


def _take_expert(
    columns: Columns, said: dict[str, str], others: set[str], fields: dict[str, Any], take: Any
) -> None:
    if "worked_answer" in fields:
        return
    candidates = [path for path in columns.named("expert_solution") if path not in others]
    expert = (
        said.get("expert_solution")
        or _first(candidates, lambda path: _is_worked_text(columns, path, fields))
        or fields.get("boxed_answer")
    )
    if expert is None:
        return
    take("expert_solution", expert, "its name and its worked texts")
    if columns.is_lines(expert):
        fields["expert_form"] = "lines"
    elif any(not str(value).strip() for value in columns.values(expert)):
        fields["expert_form"] = "text_or_blank"
    if columns.share_with(expert, r"\boxed") < 1 - MOSTLY:
        fields["append_answer"] = True


def _unnamed_texts(columns: Columns, fields: Mapping[str, Any]) -> list[str]:
    """Columns of worked texts without a known name, where no expert's column was found."""
    if "expert_solution" in fields or "worked_answer" in fields:
        return []
    taken = {value for value in fields.values() if isinstance(value, str)}
    found = [
        path
        for path in columns.paths
        if path not in taken and columns.values(path) and _is_worked_text(columns, path, fields)
    ]
    if not found:
        return []
    listed = ", ".join(map(repr, found[:3]))
    return [
        f"no column is called like an expert's solution; if one of {listed} is, say so: --column "
        f"expert_solution={shlex.quote(found[0])}"
    ]


def _without_question(columns: Columns, said: dict[str, str]) -> DataError:
    """Says at once whether the answer is missing too."""
    try:
        _take_answer(columns, said, {*said.values()}, lambda *_: None)
    except DataError:
        found = f"no column for the question and {_NO_ANSWER}"
        return _cannot(columns, found, "question", "reference_answer")
    return _cannot(columns, "no column for the question", "question")


def _cannot(columns: Columns, found: str, *roles: str) -> DataError:
    named = " ".join(f"--column {role}=COLUMN" for role in roles or ("ROLE",))
    without = (
        " Where the expert's text is all there is, it is the reference too: --column "
        "reference_answer=COLUMN, a judge as verifier (docs/judge.md), or method sft, which needs "
        "none"
        if _NO_ANSWER in found
        else ""
    )
    return DataError(
        f"found {found} among {', '.join(columns.paths)}; required: a question and a checkable "
        f"answer; do this: name them, as in {named} (parts: {', '.join(ROLES)}), or write the "
        f"mapping yourself (docs/data.md).{without}"
    )


def _first(paths: Sequence[str], fits: Any, without: set[str] | None = None) -> str | None:
    return next((p for p in paths if p not in (without or ()) and fits(p)), None)


def _all_differ(columns: Columns, path: str) -> bool:
    values = columns.values(path)
    return len(set(map(str, values))) == len(values)


def _is_worked_text(columns: Columns, path: str, fields: Mapping[str, Any]) -> bool:
    """Whether a column holds lists of steps, or texts that are long or far longer than answers."""
    if not columns.is_text(path):
        return columns.is_lines(path)
    answer = fields.get("reference_answer")
    shorter = columns.length(answer) if answer is not None and columns.is_text(answer) else 0.0
    return not columns.is_short(path) or columns.length(path) > 4 * shorter > 0
