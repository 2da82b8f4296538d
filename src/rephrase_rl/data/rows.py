"""One row to one Problem, or to the list of everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.answers import (
    ABOUT_ANSWER,
    answer_sentence,
    read_answer,
    read_worked_answer,
)
from rephrase_rl.data.choices import OPTIONS_KEY, answer_letter, listed
from rephrase_rl.data.columns import Row
from rephrase_rl.data.experts import CLOSE_TAG, EXPERT_FORMS, take_part
from rephrase_rl.data.faults import BadRow, found_text
from rephrase_rl.data.metadata import note, read_metadata
from rephrase_rl.data.questions import read_context, read_options, read_turns, strip_thoughts
from rephrase_rl.records import JSON, Message, Problem

if TYPE_CHECKING:
    from rephrase_rl.data.mappings import ColumnMapping

PART_KEY = "expert_part"
"""Metadata key that says which part of the expert's text is k, where another part was left out."""
STRIPPED_KEY = "stripped_think"
"""Metadata key that is true where the prompt lost thoughts, or a system turn that asks for them."""


def read_row(
    number: int, values: Mapping[str, Any], mapping: ColumnMapping, default_id: str
) -> Problem | BadRow:
    """Read one row.

    Args:
        number: Number of the row in its source, from 1.
        values: Column name to value.
        mapping: Where the parts of a Problem stand.
        default_id: Problem id where the row has none.
    """
    row = Row(number, values)
    extra: dict[str, JSON] = {}
    turns = read_turns(row, mapping)
    if mapping.worked_answer is not None:
        worked = read_worked_answer(row, mapping.worked_answer)
        text, answer = worked or (None, "")
        expert = _part(row, mapping, mapping.worked_answer, text, extra)
    else:
        if mapping.has_options:
            turns, answer = _choice(row, mapping, turns, extra)
        else:
            answer = read_answer(row, mapping)
        expert = _expert(row, mapping, answer, extra)
    turns = _in_context(row, mapping, turns, extra)
    problem_id = row.name(mapping.problem_id, default_id, "problem_id")
    task_kind = row.name(mapping.task_kind, mapping.default_task_kind, "task_kind")
    metadata = read_metadata(row, mapping)
    for key, value in extra.items():
        note(row, metadata, key, value)
    if row.faults:
        return BadRow(number, tuple(row.faults))
    return Problem(
        problem_id=problem_id,
        messages=turns,
        reference_answer=answer,
        expert_solution=expert,
        task_kind=task_kind,
        metadata=metadata,
    )


def _choice(
    row: Row, mapping: ColumnMapping, turns: tuple[Message, ...], extra: dict[str, JSON]
) -> tuple[tuple[Message, ...], str]:
    """The turns with the options listed below the question, and the letter of the right one."""
    column = str(mapping.reference_answer)
    given = row.get(column)
    if isinstance(given, str):
        row.writable(column, given, ABOUT_ANSWER)
    stem, options = read_options(row, mapping, turns[-1]["content"], given) if turns else ("", None)
    remedy = "give a letter, the text of one option or its index from 0"
    if options is None:
        if given is None:
            row.fault(column, found_text(given), remedy, ABOUT_ANSWER)
        return turns, ""
    try:
        letter, options = answer_letter(given, options, mapping.answer_form)
    except ValueError as error:
        row.fault(column, str(error), remedy, ABOUT_ANSWER)
        return turns, ""
    for text in options.texts:
        row.writable(mapping.options or mapping.question[0], text, "options")
    extra[OPTIONS_KEY] = list(options.texts)
    asked = f"{stem.rstrip()}\n\n{listed(options.texts)}"
    return (*turns[:-1], {"role": turns[-1]["role"], "content": asked}), letter


def _in_context(
    row: Row, mapping: ColumnMapping, turns: tuple[Message, ...], extra: dict[str, JSON]
) -> tuple[Message, ...]:
    """The turns with the context before the question, and without thoughts if that is wanted."""
    context = read_context(row, mapping)
    if turns and context:
        asked = "\n\n".join([*context, turns[-1]["content"]])
        turns = (*turns[:-1], {"role": turns[-1]["role"], "content": asked})
    if mapping.strip_think:
        stripped = strip_thoughts(turns)
        if stripped != turns:
            extra[STRIPPED_KEY] = True
        return stripped
    return turns


def _expert(row: Row, mapping: ColumnMapping, answer: str, extra: dict[str, JSON]) -> str | None:
    """The expert's text: read, cut to the chosen part, ended with the answer if that is wanted."""
    column = mapping.expert_solution
    if column is None:
        return None
    flags = [row.get(path) for path in mapping.expert_flags]
    try:
        text = EXPERT_FORMS[mapping.expert_form](row.get(column), flags)
    except ValueError as error:
        remedy = "give the expert's text, or null where there is none"
        row.fault(column, str(error), remedy, "expert_solution")
        return None
    part = _part(row, mapping, column, text, extra)
    if part is not None and mapping.append_answer and answer:
        part = f"{part}\n{answer_sentence(answer)}"
    return part


def _part(
    row: Row, mapping: ColumnMapping, column: str, text: str | None, extra: dict[str, JSON]
) -> str | None:
    """The chosen part of an expert's text; None without one, or after a fault."""
    if text is None:
        return None
    try:
        part = take_part(text, mapping.expert_part)
    except ValueError as error:
        remedy = "correct the text, give null, or take another expert_part"
        row.fault(column, str(error), remedy, "expert_solution")
        return None
    if mapping.expert_part != "whole" and CLOSE_TAG in text:
        extra[PART_KEY] = mapping.expert_part
    return row.writable(column, part, "expert_solution")
