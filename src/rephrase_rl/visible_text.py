"""Hidden characters of a text made visible: what a reader sees is what stands there.

Control characters drive a terminal (colours, cursor, links, the window's title), bidirectional ones
show text in another order, and zero-width ones show nothing. Data and model texts hold any of them.
"""

from __future__ import annotations

import re

HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control and format characters other than tab and newline, and halves of surrogate pairs."""


def plain_text(text: str) -> str:
    """Label the hidden characters of a text for a terminal or a page without markup.

    Example:
        >>> plain_text("abc" + chr(0x202E) + chr(27) + "[2J")
        'abc[U+202E][U+001B][2J'
    """
    return HIDDEN.sub(lambda match: f"[U+{ord(match.group()):04X}]", text)
