"""Where the command line writes: results to standard output, everything else to standard error.

Whatever is written, data and model texts cannot drive the terminal: hidden characters are labelled.
"""

from __future__ import annotations

import json
import os
import shlex
from typing import Any

from rich.console import Console
from rich.text import Text

from rephrase_rl.visible_text import plain_text

# Launchers of several processes number them in RANK; one of them speaks for all.
_SPEAKS = os.environ.get("RANK", "0") == "0"


class _PlainConsole(Console):
    """A console that shows every text as it stands: no markup, no emoji codes, no control codes."""

    def __init__(self, **settings: Any) -> None:
        """Args: settings of rich's console."""
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Every text goes through here, in tables too."""
        return super().render_str(plain_text(text), **settings)


output = _PlainConsole(quiet=not _SPEAKS)
"""Results: tables, JSON, step lines."""

messages = _PlainConsole(stderr=True)
"""Errors, hints and progress bars."""


def quoted(word: str | os.PathLike[str]) -> str:
    """A word of a command that is shown, so that a shell takes it for one.

    Example:
        >>> quoted("my run")
        "'my run'"
    """
    return shlex.quote(os.fspath(word))


def print_json(value: object) -> None:
    """Print plain data as JSON; hidden characters are written as JSON's own escapes."""
    text = json.dumps(value, indent=2, default=os.fspath)
    # The only one of them that json leaves as it is.
    output.print(text.replace("\x7f", "\\u007f"))
