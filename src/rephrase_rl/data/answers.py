"""The checkable answer of a row, from whichever column has it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.faults import found_text
from rephrase_rl.data.gsm8k import WorkedAnswer, parse_worked_answer
from rephrase_rl.data.named_mappings import fitting_names

if TYPE_CHECKING:
    from rephrase_rl.data.columns import Row
    from rephrase_rl.data.mappings import ColumnMapping

ABOUT_ANSWER = "reference_answer"
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$,;&]|\\[,;:!()\[\] ]|\\q?quad\b|\band\b|\bor\b|\\text\s*\{\s*(?:and|or)\s*\})*"
)
_BARE_PERCENT = re.compile(r"(?<!\\)%")


def read_worked_answer(row: Row, column: str) -> WorkedAnswer | None:
    """Answer and expert's text of a column in GSM8K's format; None after a fault."""
    text = row.get(column)
    remedy = "end the worked answer with a line '#### N', N a number"
    if not isinstance(text, str):
        row.fault(column, found_text(text), remedy, ABOUT_ANSWER)
        return None
    try:
        return parse_worked_answer(row.writable(column, text, ABOUT_ANSWER))
    except ValueError as error:
        row.fault(column, str(error), remedy, ABOUT_ANSWER)
        return None


def read_answer(row: Row, mapping: ColumnMapping) -> str:
    """The reference answer with its unit; empty after a fault."""
    column = mapping.reference_answer
    answer = _joined(row.get(column), mapping.list_answer)
    if answer is None and mapping.boxed_answer is not None:
        return _boxed_answer(row, mapping.boxed_answer)
    if column is None:
        row.fault(
            ABOUT_ANSWER,
            f"mapping {mapping.name!r} names no column for it",
            "name one in reference_answer, boxed_answer or worked_answer",
            ABOUT_ANSWER,
        )
        return ""
    is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
    # math.isfinite would raise on a whole number that no float can hold.
    if is_number and (isinstance(answer, int) or math.isfinite(answer)):
        return f"{answer}{_unit(row, mapping.unit)}"
    if isinstance(answer, str) and answer.strip():
        text = row.writable(column, answer, ABOUT_ANSWER)
        return f"{text}{_unit(row, mapping.unit)}"
    found, wanted = found_text(answer), "give the checkable answer as text or as a number"
    if answer is None and column.split(".")[0] not in row.values:
        found = f"no such column (the row's columns: {row.column_names})"
        wanted += ", or choose the mapping that fits (data.mapping): "
        wanted += fitting_names(row.values, other_than=mapping.name)
    row.fault(column, found, wanted, ABOUT_ANSWER)
    return ""


def _joined(answer: Any, between: str | None) -> Any:
    """A list of answers as one text where that is wanted; anything else as it is."""
    if between is None or not isinstance(answer, list | tuple) or not answer:
        return answer
    if len(answer) == 1:
        return answer[0]
    whole = all(isinstance(item, str | int | float) and str(item).strip() for item in answer)
    return between.join(str(item).strip() for item in answer) if whole else answer


def last_box(text: str) -> str | None:
    r"""Content of the last complete ``\boxed{}``; None if there is none.

    Boxes that only commas, "and", "or" or blanks separate are one answer of several parts, joined
    by ", ": a solution that boxes 1 and 2 does not answer 2.

    Example:
        >>> last_box(r"\boxed{1}, then \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
        >>> last_box(r"the answers are $\boxed{-2}$ and $\boxed{1}$.")
        '-2, 1'
    """
    parts: list[str] = []
    end = len(text)
    for box in reversed(list(_BOX.finditer(text))):
        close = _closing_brace(text, box.end())
        if close is None or close > end:
            continue
        if parts and not _BETWEEN_BOXES.fullmatch(text, close + 1, end):
            break
        parts.insert(0, text[box.end() : close].strip())
        end = box.start()
    return ", ".join(dict.fromkeys(parts)) if parts else None


def _closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before ``start``; None if none does."""
    depth = 1
    for token in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth == 0:
            return token.start()
    return None


def answer_sentence(answer: str) -> str:
    r"""The last sentence of an expert's text that does not state the answer itself.

    Example:
        >>> answer_sentence("12%")
        'The final answer is \\boxed{12\\%}.'
    """
    escaped = _BARE_PERCENT.sub(r"\\%", answer)
    return f"The final answer is \\boxed{{{escaped}}}."


def _boxed_answer(row: Row, column: str) -> str:
    text = row.get(column)
    answer = last_box(text) if isinstance(text, str) else None
    if answer:
        return row.writable(column, answer, ABOUT_ANSWER)
    found = r"no \boxed{} with an answer" if isinstance(text, str) else found_text(text)
    row.fault(
        column, found, r"put the answer into \boxed{}, or into a column of its own", ABOUT_ANSWER
    )
    return ""


def _unit(row: Row, column: str | None) -> str:
    value = row.get(column)
    if value is None or value == "" or column is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        row.fault(column, found_text(value), "give a unit as text, or null", ABOUT_ANSWER)
        return ""
    unit = row.writable(column, value.strip(), ABOUT_ANSWER)
    return "%" if unit in ("percent", "%") else f" {unit}"
