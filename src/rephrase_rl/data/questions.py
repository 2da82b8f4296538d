"""The conversation that asks a question: turns, context before it, options below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.choices import (
    OptionList,
    options_of_column,
    options_of_text,
    shuffled_options,
)
from rephrase_rl.data.experts import OPEN_TAG, without_thoughts
from rephrase_rl.data.faults import found_text
from rephrase_rl.data.named_mappings import fitting_names

if TYPE_CHECKING:
    from rephrase_rl.data.columns import Row
    from rephrase_rl.data.mappings import ColumnMapping
    from rephrase_rl.records import Message

_ROLES = ("system", "user", "assistant")
_TURN_KEYS = {"role", "content"}
_QUESTION = "question"


def read_turns(row: Row, mapping: ColumnMapping) -> tuple[Message, ...]:
    """The turns as the row has them; the last is the user's. Anything else is noted as a fault."""
    present = [column for column in mapping.question if row.get(column) is not None]
    wanted = " or ".join(repr(column) for column in mapping.question)
    if not present:
        row.fault(
            mapping.question[0],
            f"no question (the row's columns: {row.column_names})",
            f"fill {wanted}, or choose the mapping that fits (data.mapping): "
            f"{fitting_names(row.values, other_than=mapping.name)}",
            _QUESTION,
        )
        return ()
    if len(present) > 1:
        row.fault(present[1], f"{wanted} are both filled", "fill one of them", _QUESTION)
    column, question = present[0], row.get(present[0])
    if isinstance(question, str):
        if not question.strip():
            row.fault(
                column, "an empty question", "write the question or remove the row", _QUESTION
            )
        return ({"role": "user", "content": row.writable(column, question, _QUESTION)},)
    if isinstance(question, list | tuple) and question:
        return _read_list(row, column, question)
    row.fault(
        column,
        found_text(question),
        "give a string or a list of {'role', 'content'} turns",
        _QUESTION,
    )
    return ()


def _read_list(row: Row, column: str, turns: Sequence[Any]) -> tuple[Message, ...]:
    read: list[Message] = []
    for index, turn in enumerate(turns):
        where = f"turn {index}"
        if not isinstance(turn, Mapping):
            row.fault(
                column, f"{where} is {found_text(turn)}", "give {'role', 'content'}", _QUESTION
            )
            continue
        role, content = turn.get("role"), turn.get("content")
        if role not in _ROLES:
            row.fault(column, f"{where} has role {role!r}", f"use {', '.join(_ROLES)}", _QUESTION)
        if not isinstance(content, str) or not content.strip():
            row.fault(
                column,
                f"{where} has content {found_text(content)}",
                "give text that is not empty",
                _QUESTION,
            )
            content = ""
        # Arrow fills keys that only other rows have with null.
        extra = sorted(str(k) for k in turn if k not in _TURN_KEYS and turn[k] is not None)
        if extra:
            row.fault(
                column,
                f"{where} has {', '.join(extra)}",
                "remove them: only role and content reach the model (no tools, no images)",
                _QUESTION,
            )
        read.append({"role": str(role), "content": row.writable(column, content, _QUESTION)})
    last = turns[-1]
    if isinstance(last, Mapping) and last.get("role") in ("system", "assistant"):
        row.fault(column, f"the last turn is the {last['role']}'s", "end with the user", _QUESTION)
    return tuple(read)


def read_options(
    row: Row, mapping: ColumnMapping, question: str, answer: Any
) -> tuple[str, OptionList | None]:
    """The question without the options in its text, and the options; None after a fault."""
    if mapping.wrong_options:
        wrong = [row.get(column) for column in mapping.wrong_options]
        try:
            return question, shuffled_options(question, answer, wrong)
        except ValueError as error:
            remedy = "give the texts of the right option and of 1 to 9 wrong ones"
            row.fault(mapping.wrong_options[0], str(error), remedy, "options")
            return question, None
    if mapping.fixed_options:
        return question, OptionList(mapping.fixed_options)
    if mapping.options is not None:
        try:
            return question, options_of_column(row.get(mapping.options))
        except ValueError as error:
            row.fault(mapping.options, str(error), "give the texts of 2 to 10 options", "options")
            return question, None
    try:
        return options_of_text(question)
    except ValueError as error:
        row.fault(
            mapping.question[0],
            str(error),
            "end the question with one option a line, such as `A) ...`",
            "options",
        )
        return question, None


def read_context(row: Row, mapping: ColumnMapping) -> list[str]:
    """The texts that stand before the question, in the mapping's order."""
    texts = []
    for column in mapping.context:
        value = row.get(column)
        if value is None:
            continue
        text = _context_text(value)
        if text is None:
            row.fault(
                column,
                found_text(value),
                "give text, a list of paragraphs (texts, or objects with text) or of table rows",
                "context",
            )
        elif text.strip():
            texts.append(row.writable(column, text.strip("\n"), "context"))
    return texts


def _context_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, list | tuple):
        return None
    value = [item.get("text") if isinstance(item, Mapping) else item for item in value]
    if all(isinstance(item, str) for item in value):
        return "\n\n".join(value)
    if all(isinstance(item, list | tuple) for item in value):
        return "\n".join(" | ".join(_cell(cell) for cell in item) for item in value)
    return None


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def strip_thoughts(turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns without earlier thoughts, and without a system turn that asks for them."""
    stripped: list[Message] = []
    for turn in turns:
        if turn["role"] == "system" and OPEN_TAG in turn["content"]:
            continue
        if turn["role"] == "assistant":
            stripped.append({"role": "assistant", "content": without_thoughts(turn["content"])})
        else:
            stripped.append(turn)
    return tuple(stripped)
