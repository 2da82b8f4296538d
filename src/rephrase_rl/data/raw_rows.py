"""One row as it stands in its source, before any meaning is given to its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rephrase_rl.data.faults import RowFault


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in its source."""

    number: int
    """From 1; in files with one object per line it is the line number."""
    values: dict[str, Any] | None
    """None if the row could not be read."""
    fault: RowFault | None = None
    """Why not."""
