"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

import os

from rich.console import Console

# Launchers of several processes number them in RANK; one of them speaks for all.
_SPEAKS = os.environ.get("RANK", "0") == "0"

output = Console(highlight=False, markup=False, soft_wrap=True, quiet=not _SPEAKS)
"""Results: tables, JSON, step lines. Safe for model text, since markup is off."""

messages = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Errors, hints and progress bars."""
