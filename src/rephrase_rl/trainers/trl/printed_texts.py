"""What ``log_completions`` prints and hands to loggers: hidden characters made visible.

TRL prints prompts and completions as they are. Both come from strangers, and an escape sequence in
one would drive the terminal of whoever watches the run.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from rephrase_rl.visible_text import plain_text


def show_hidden_characters(logs: dict[str, Any]) -> None:
    """Label control, bidirectional and zero-width characters in TRL's columns of texts, in place.

    Args:
        logs: TRL's ``_logs``: ``prompt`` and ``completion`` hold texts or lists of turns, ``extra``
            holds columns of values by name.
    """
    for column in ("prompt", "completion"):
        logs[column] = _visible(logs[column])
    for name, column in logs["extra"].items():
        logs["extra"][name] = _visible(column)


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, deque):
        return deque((_visible(item) for item in value), maxlen=value.maxlen)
    if isinstance(value, list):
        return [_visible(item) for item in value]
    if isinstance(value, dict):
        return {key: _visible(item) for key, item in value.items()}
    return value
