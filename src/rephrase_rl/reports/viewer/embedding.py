"""Data and script as they stand in a page: no text of a model can end them or be run.

Data are JSON in a ``<script type="application/json">`` block, which browsers do not run. Every
character that could end the block, open a comment or hide from a reader is escaped. Long parts are
compressed on top, and read when they are needed.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import re
from importlib import resources
from typing import TYPE_CHECKING

from rephrase_rl.records import to_json
from rephrase_rl.visible_text import HIDDEN

if TYPE_CHECKING:
    from markupsafe import Markup

    from rephrase_rl.records import JSON

PARTS = (
    *("page.js", "text.js", "data.js", "theme.js", "charts.js", "difference.js"),
    *("rows.js", "table.js", "tokens.js", "group.js", "problems.js", "keys.js", "start.js"),
)
"""The parts of the script, in the order in which they are put together."""
EARLY_PART = "early.js"
"""What has to happen before anything is shown."""

_UNSAFE = re.compile("[<>&\u007f]")


def pack(value: object) -> str:
    """Compress a value for ``unpack`` of ``data.js``: JSON, gzip, base64.

    The same value gives the same text: the header of gzip holds no time.
    """
    text = json.dumps(to_json(value), separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("ascii"), compresslevel=9, mtime=0)).decode()


def embed_json(value: JSON) -> Markup:
    r"""Write JSON for the inside of a script block.

    Example:
        >>> str(embed_json({"text": "</script>"}))
        '{"text":"\\u003c/script\\u003e"}'
    """
    from markupsafe import Markup

    # ASCII already: every other character, U+2028 among them, is written as an escape.
    text = json.dumps(to_json(value), separators=(",", ":"), allow_nan=False)
    escaped = _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return Markup(escaped)  # noqa: S704  (escaped)


@functools.cache
def script() -> Markup:
    """The script of the page: its parts, and the characters it has to label, in one function.

    Returns:
        The text between the tags, on which ``policy_hash`` is taken.
    """
    from markupsafe import Markup

    # Python and the script label the same characters: there is one list of them.
    hidden = f"const HIDDEN = new RegExp({_pattern()}, 'gu');"
    text = "\n".join([hidden, *map(_part, PARTS)])
    return Markup(f"\n(() => {{\n'use strict';\n{text}\n}})();\n")  # noqa: S704  (our own files)


@functools.cache
def early_script() -> Markup:
    """The script in the page's head."""
    from markupsafe import Markup

    return Markup(_part(EARLY_PART))  # noqa: S704  (our own file)


def _part(name: str) -> str:
    folder = resources.files("rephrase_rl.reports") / "templates" / "viewer"
    return (folder / name).read_text(encoding="utf-8")


def policy_hash(text: str) -> str:
    """The source expression by which a content security policy allows exactly this text."""
    from markupsafe import Markup

    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(f"'sha256-{digest}'")  # noqa: S704  (letters, digits, + / =)


def _pattern() -> str:
    r"""The pattern of hidden characters as a JavaScript string, in its ``\u{...}`` notation."""
    pattern = "".join(c if " " < c <= "~" else f"\\u{{{ord(c):x}}}" for c in HIDDEN.pattern)
    return json.dumps(pattern)
