"""Where the command line writes: results to standard output, everything else to standard error."""

from __future__ import annotations

from rich.console import Console

output = Console(highlight=False, markup=False, soft_wrap=True)
"""Results: tables, JSON, step lines. Safe for model text, since markup is off."""

messages = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
"""Errors, hints and progress bars."""
