r"""Where a completion puts its answer: the last ``\boxed{...}``.

Pure text work in linear time, so it runs in the calling process and only the short answer travels
to a worker. Used by every verifier that knows boxes; imports nothing from the package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_OPENING = re.compile(r"\\(?:boxed|fbox)\s*\{")
_GAP = re.compile(
    r"(?:[\s$,;&]|\\[,;:!()\[\] ]|\\q?quad\b|\band\b|\bor\b|\\text\s*\{\s*(?:and|or)\s*\})*"
)


@dataclass(frozen=True, slots=True)
class Box:
    """One complete box of a text, as indices, so that deep nesting costs no copies."""

    start: int
    """Index of the backslash."""
    end: int
    """Index after the closing brace."""
    content_start: int
    """Index of the first character inside; the innermost box counts if boxes enclose each other
    and nothing else."""
    content_end: int
    """Index of the closing brace that belongs to ``content_start``."""


def find_boxes(text: str) -> list[Box]:
    r"""Return the complete boxes of ``text`` in order, outermost only.

    A box that is never closed (a truncated completion) is no box; complete boxes inside it count.
    Escaped braces do not nest. ``\boxed{\boxed{5}}`` has the content 5. Time is linear in the
    length of the text.
    """
    open_groups: list[tuple[bool, int, int]] = []
    boxes: list[Box] = []
    for token in _TOKEN.finditer(text):
        piece = token.group()
        if piece == "}":
            if open_groups:
                is_box, start, content_start = open_groups.pop()
                if is_box:
                    _close_box(text, boxes, Box(start, token.end(), content_start, token.start()))
        elif piece[-1] == "{" and piece != r"\{":
            open_groups.append((piece != "{", token.start(), token.end()))
    return boxes


def before_open_box(text: str) -> str:
    r"""The text before a box that is never closed: what is cut off in its box gives no answer.

    Example:
        >>> before_open_box(r"It is 7, so \boxed{12")
        'It is 7, so '
    """
    boxes = find_boxes(text)
    opening = _OPENING.search(text, boxes[-1].end if boxes else 0)
    return text if opening is None else text[: opening.start()]


def _close_box(text: str, boxes: list[Box], box: Box) -> None:
    """Append ``box`` in place of the boxes inside it."""
    inner = None
    while boxes and boxes[-1].start > box.start:
        inner = boxes.pop()
    if inner is not None and not (
        text[box.content_start : inner.start].strip() or text[inner.end : box.content_end].strip()
    ):
        box = Box(box.start, box.end, inner.content_start, inner.content_end)
    boxes.append(box)


def boxed_answer(text: str) -> str | None:
    r"""Return the answer in the last box of ``text``, None if there is no complete box.

    Boxes at the end that only commas, "and", "or" or blanks separate are one answer of several
    parts, joined by ", " with repetitions left out: whoever boxes 1 and 2 has not answered 2.

    Example:
        >>> boxed_answer(r"first \boxed{1}, so it is \boxed{2} and \boxed{3}.")
        '2, 3'
    """
    boxes = find_boxes(text)
    if not boxes:
        return None
    run = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not _GAP.fullmatch(text, box.end, run[-1].start):
            break
        run.append(box)
    contents = [text[box.content_start : box.content_end].strip() for box in reversed(run)]
    return ", ".join(dict.fromkeys(contents))
