"""The expert's text k: how it stands in a column, and which part of a reasoning model's is taken.

A reasoning model writes ``<think> ... </think>`` and then its answer. Which of the two is k is the
user's choice, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rephrase_rl.data.faults import found_text

OPEN_TAG, CLOSE_TAG = "<think>", "</think>"
EXPERT_PARTS = ("whole", "after_think", "think")


def text_form(value: Any, flags: Sequence[Any]) -> str | None:
    """A text that is not empty, or null."""
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError(found_text(value))


def text_or_blank_form(value: Any, flags: Sequence[Any]) -> str | None:
    """A text; an empty one stands for null."""
    return None if isinstance(value, str) and not value.strip() else text_form(value, flags)


def lines_form(value: Any, flags: Sequence[Any]) -> str | None:
    """A list of texts, which become one a line."""
    if value is None:
        return None
    if not _texts(value):
        raise ValueError(f"{found_text(value)}, not a list of texts")
    return "\n".join(value)


def first_correct_form(value: Any, flags: Sequence[Any]) -> str | None:
    """The first of several texts that a flag marks correct; null if none is."""
    if value is None:
        return None
    if not _texts(value):
        raise ValueError(f"{found_text(value)}, not a list of texts")
    given = [column for column in flags if column is not None]
    if not given or not all(isinstance(column, list | tuple) for column in given):
        raise ValueError("no list of flags that says which text is correct")
    for index, text in enumerate(value):
        if any(index < len(column) and column[index] is True for column in given):
            return str(text)
    return None


def last_assistant_form(value: Any, flags: Sequence[Any]) -> str | None:
    """The last assistant turn of a conversation."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        for turn in reversed(value):
            if isinstance(turn, Mapping) and turn.get("role") == "assistant":
                return text_form(turn.get("content"), flags)
    raise ValueError(f"{found_text(value)}, with no assistant turn")


EXPERT_FORMS: Mapping[str, Callable[[Any, Sequence[Any]], str | None]] = {
    "text": text_form,
    "text_or_blank": text_or_blank_form,
    "lines": lines_form,
    "first_correct": first_correct_form,
    "last_assistant": last_assistant_form,
}
"""Name -> reader of a column's value and its flags; raises ValueError with what was found."""


def take_part(text: str, part: str) -> str:
    """The chosen part of an expert's text.

    A text without tags is all answer: ``after_think`` takes the whole of it. Where only the closing
    tag stands in the text (the opening one was part of the prompt), thinking begins at the start.

    Args:
        text: As it stands in the data.
        part: ``whole``; ``after_think``: what follows the last ``</think>``; ``think``: what
            precedes it, without the tags.

    Raises:
        ValueError: The part is not there, or empty.
    """
    if part == "whole":
        return text
    before, tag, after = text.rpartition(CLOSE_TAG)
    if not tag:
        if OPEN_TAG in text:
            raise ValueError(f"{OPEN_TAG} is never closed")
        if part == "think":
            raise ValueError(f"no {CLOSE_TAG}")
        return text
    chosen = (after if part == "after_think" else before.replace(OPEN_TAG, "", 1)).strip()
    if not chosen:
        where = "after" if part == "after_think" else "before"
        raise ValueError(f"nothing {where} {CLOSE_TAG}")
    return chosen


def without_thoughts(text: str) -> str:
    """A text without everything up to its last ``</think>``; unchanged if it has no such tag."""
    _, tag, after = text.rpartition(CLOSE_TAG)
    return after.strip() if tag else text


def _texts(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(item, str) and item.strip() for item in value)
    )
