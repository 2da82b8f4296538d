"""Text that a model wrote, made safe and truthful for a web page.

Everything is escaped. Characters that change how the surrounding text is shown without being seen
themselves (bidirectional controls, zero-width and control characters) are replaced by a visible
label with their code point, so that what the reader sees is what the verifier read.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rephrase_rl.visible_text import HIDDEN

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

    from markupsafe import Markup

LONG_TEXT_CHARACTERS = 700
"""Longer texts are folded away; nothing is ever cut."""
LONG_TEXT_LINES = 14
PREVIEW_CHARACTERS = 120


def show_text(text: str) -> Markup:
    """Escape a text and label its hidden characters.

    Example:
        >>> str(show_text("a<b"))
        'a&lt;b'
        >>> "U+202E" in show_text("abc" + chr(0x202E))
        True
    """
    from markupsafe import Markup, escape

    # Escaping leaves hidden characters alone, so they can be labelled afterwards.
    return Markup(HIDDEN.sub(_label, str(escape(text))))  # noqa: S704  (escaped)


def show_removed(raw_text: str, removed: Sequence[str]) -> Markup:
    """Show a raw text with the removed phrases struck through where they are found.

    Phrases are looked for one after the other; one that cannot be found is listed at the end, so
    none is lost.
    """
    from markupsafe import Markup

    pieces: list[Markup] = []
    missing = []
    position = 0
    for phrase in removed:
        found = raw_text.find(phrase, position) if phrase else -1
        if found < 0:
            missing.append(phrase)
            continue
        pieces.append(show_text(raw_text[position:found]))
        pieces.append(Markup("<del>{}</del>").format(show_text(phrase)))
        position = found + len(phrase)
    pieces.append(show_text(raw_text[position:]))
    for phrase in missing:
        pieces.append(Markup("\n[removed: <del>{}</del>]").format(show_text(phrase)))
    return Markup("").join(pieces)


def is_long(text: str) -> bool:
    """Whether a text is folded away on a page."""
    return len(text) > LONG_TEXT_CHARACTERS or text.count("\n") >= LONG_TEXT_LINES


def preview(text: str) -> str:
    """Return the beginning of a text on one line, for the summary of a folded text."""
    start = " ".join(text[: 4 * PREVIEW_CHARACTERS].split())
    return start if len(start) <= PREVIEW_CHARACTERS else start[:PREVIEW_CHARACTERS] + "…"


def _label(match: re.Match[str]) -> str:
    character = match.group()
    name = unicodedata.name(character, "control character").lower()
    code = f"U+{ord(character):04X}"
    return f'<span class="hidden-char" title="{name}">{code}</span>'
