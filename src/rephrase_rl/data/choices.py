"""Multiple choice: options from a column or from the question's text, and the answer's letter."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rephrase_rl.data.faults import found_text

LETTERS = string.ascii_uppercase
MOST_OPTIONS = 10
"""Of a question: the verifier reads the letters A to J, as many as MMLU-Pro and SuperGPQA have."""
ANSWER_FORMS = ("either", "letter", "text")
"""How the right option is named: by letter (or label, or index), by its text, or by either."""

OPTIONS_KEY = "options"
"""Metadata key of a choice question's options, in the order of their letters."""

_LABELLED = re.compile(r"\(?([A-Z]|[1-9])[).:]\s*(\S.*)")
_DASHED = re.compile(r"[-*•]\s+(\S.*)")
_HEADING = re.compile(r"(?:answer )?(?:options|choices)\s*:?", re.IGNORECASE)
_BARE_LABEL = re.compile(r"\(?([A-Z]|[1-9])[).:]?")


@dataclass(frozen=True, slots=True)
class OptionList:
    """Options in the order in which they are shown."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """What the source calls them, where it does; empty: A, B, ... by their order."""


def options_of_column(value: Any) -> OptionList:
    """Options of a list, a mapping from label to text, or ``{"label": [...], "text": [...]}``.

    Labels that stand in the texts themselves (``A)5``) are taken off. A label without a text is no
    option: Arrow gives every row the labels of all rows.

    Raises:
        ValueError: With what was found.
    """
    labels: tuple[str, ...] = ()
    if isinstance(value, Mapping) and _is_table(value):
        value = dict(zip(value["label"], value["text"], strict=True))
    if isinstance(value, Mapping):
        filled = {str(key): text for key, text in value.items() if text is not None}
        labels, value = tuple(filled), list(filled.values())
    if not isinstance(value, list | tuple) or not all(_is_option(item) for item in value):
        raise ValueError(f"{found_text(value)}, not a list of options")
    texts = [str(item).strip() for item in value]
    own = [_LABELLED.fullmatch(text) for text in texts]
    if not labels and all(m and m[1] == LETTERS[i % 26] for i, m in enumerate(own)):
        texts = [m[2].strip() for m in own if m]
    return _checked(OptionList(tuple(texts), labels))


def shuffled_options(question: str, right: Any, wrong: Sequence[Any]) -> OptionList:
    """A right and several wrong options in an order that depends on their texts alone.

    For sources that keep the right option in a column of its own: in that order a policy would
    learn that the answer is A. The same question has the same order on every machine.

    Raises:
        ValueError: A text is missing, or there are too many.
    """
    if any(text is None for text in (right, *wrong)):
        raise ValueError("nothing as one of the options")
    options = options_of_column([right, *wrong])

    def place(text: str) -> bytes:
        return hashlib.blake2b(f"{question}\x1f{text}".encode(errors="replace")).digest()

    return OptionList(tuple(sorted(options.texts, key=place)))


def _is_table(value: Mapping[Any, Any]) -> bool:
    """Whether labels and texts are two columns, as the hub's ARC has them."""
    columns = [value.get("label"), value.get("text")]
    lists = [column for column in columns if isinstance(column, list | tuple)]
    return set(value) == {"label", "text"} and len(lists) == 2 and len(lists[0]) == len(lists[1])


def options_of_text(text: str) -> tuple[str, OptionList]:
    """Split a question into what is asked and the options at its end.

    Options are the last lines: lettered or numbered from the first on (``A) ...``, ``1. ...``), or
    with dashes. A line such as ``Options:`` above them is taken off.

    Raises:
        ValueError: There is no such list.
    """
    lines = text.rstrip().split("\n")
    for pattern in (_LABELLED, _DASHED):
        start = len(lines)
        while start and pattern.fullmatch(lines[start - 1].strip()):
            start -= 1
        found = [match for line in lines[start:] if (match := pattern.fullmatch(line.strip()))]
        labels = tuple(match[1] for match in found) if pattern is _LABELLED else ()
        if len(found) < 2 or not _in_order(labels):
            continue
        stem = "\n".join(lines[:start]).rstrip()
        heading = stem.rpartition("\n")
        if _HEADING.fullmatch(heading[2].strip()):
            stem = heading[0].rstrip()
        if not stem.strip():
            raise ValueError("options and no question above them")
        return stem, _checked(
            OptionList(tuple(match[match.lastindex or 0] for match in found), labels)
        )
    raise ValueError("no list of options at its end")


def answer_letter(answer: Any, options: OptionList, form: str) -> tuple[str, OptionList]:
    """The letter of the right option, and the options to be shown.

    Where the answer is given as text, options that repeat another are shown once: with two letters
    for one text, one of two right answers would count as wrong.

    Args:
        answer: A letter or label, the text of an option, or its index from 0.
        options: Of the question.
        form: One of ``ANSWER_FORMS``: how a text is to be understood.

    Raises:
        ValueError: It is none of the options, or both a label and the text of another option.
    """
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(options.texts):
            raise ValueError(f"index {answer} of {len(options.texts)} options")
        return LETTERS[answer], options
    if not isinstance(answer, str) or not answer.strip():
        raise ValueError(found_text(answer))
    by_label = None if form == "text" else _index_of_label(answer, options)
    squeezed = [_squeezed(text) for text in options.texts]
    by_text = None if form == "letter" else _index_of(_squeezed(answer), squeezed)
    if by_label is None and by_text is None:
        raise ValueError(f"{found_text(answer)}, which is none of the options")
    if by_label is not None and by_text is not None and squeezed[by_label] != squeezed[by_text]:
        raise ValueError(f"{answer.strip()!r}, the label of one option and the text of another")
    if by_label is not None:
        return LETTERS[by_label], options
    shown = dict(zip(reversed(squeezed), reversed(options.texts), strict=True))
    order = list(dict.fromkeys(squeezed))
    return LETTERS[order.index(_squeezed(answer))], OptionList(tuple(shown[key] for key in order))


def _index_of_label(answer: str, options: OptionList) -> int | None:
    labels = options.labels or tuple(LETTERS[: len(options.texts)])
    bare = _BARE_LABEL.fullmatch(answer.strip())
    return _index_of(bare[1] if bare and bare[1] in labels else answer.strip(), labels)


def _index_of(item: str, items: Sequence[str]) -> int | None:
    return items.index(item) if item in items else None


def is_option_list(texts: Sequence[str]) -> bool:
    """Whether texts can be the options of every question of a set: 2 to 10, each one different."""
    distinct = {_squeezed(text) for text in texts}
    return 2 <= len(texts) <= MOST_OPTIONS and len(distinct) == len(texts) and "" not in distinct


def listed(options: Sequence[str]) -> str:
    """The options as they are shown: one a line, ``A.``, ``B.``, ..."""
    return "\n".join(f"{LETTERS[i]}. {text}" for i, text in enumerate(options))


def without_options(question: str, options: Any) -> str:
    """A question without the list of its options; unchanged if it does not end with them."""
    if not isinstance(options, list) or not all(isinstance(text, str) for text in options):
        return question
    return question.removesuffix(f"\n\n{listed(options[: len(LETTERS)])}")


def _in_order(labels: Sequence[str]) -> bool:
    """Whether labels are A, B, ... or 1, 2, ... from the first on."""
    expected = (LETTERS[: len(labels)], "123456789"[: len(labels)])
    return not labels or "".join(labels) in expected


def _checked(options: OptionList) -> OptionList:
    if not 2 <= len(options.texts) <= MOST_OPTIONS:
        raise ValueError(f"{len(options.texts)} option(s), not 2 to {MOST_OPTIONS}")
    return options


def _is_option(item: Any) -> bool:
    if isinstance(item, str):
        return bool(item.strip())
    return isinstance(item, int | float) and not isinstance(item, bool)


def _squeezed(text: str) -> str:
    return " ".join(text.split())
