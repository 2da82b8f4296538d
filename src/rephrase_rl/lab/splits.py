"""Which split a question belongs to: a stable function of its text, so splits never overlap."""

from __future__ import annotations

import zlib
from typing import Literal

Split = Literal["train", "test", "check"]
SPLITS: tuple[Split, ...] = ("train", "test", "check")


def split_of(question: str) -> Split:
    """Split of a question: 80 % train, 10 % test, 10 % check."""
    bucket = zlib.crc32(question.encode()) % 10
    if bucket == 0:
        return "test"
    return "check" if bucket == 1 else "train"
