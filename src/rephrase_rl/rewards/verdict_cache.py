"""Verdicts that are known already, by what was compared; bounded, and counted.

A group's rollouts repeat each other's answers, and so do the epochs of a run. Only what is certain
is kept: a time-out may be the fault of a busy machine, so it is tried again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rephrase_rl.records import Verdict

KEPT_STATUSES = ("scored", "unscorable")


class VerdictCache:
    """The verdicts used most recently. Not for several threads at once."""

    def __init__(self, size: int) -> None:
        """Args: size, the number of verdicts kept; 0 keeps none."""
        self._size = size
        self._verdicts: OrderedDict[Hashable, Verdict] = OrderedDict()

    def __len__(self) -> int:
        return len(self._verdicts)

    def get(self, key: Hashable) -> Verdict | None:
        """The verdict of what was compared before, which then counts as used just now."""
        verdict = self._verdicts.get(key)
        if verdict is not None:
            self._verdicts.move_to_end(key)
        return verdict

    def keep(self, key: Hashable, verdict: Verdict) -> None:
        """Keep a verdict if it is certain, in place of the one not used for the longest time."""
        if verdict.status not in KEPT_STATUSES or not self._size:
            return
        self._verdicts[key] = verdict
        self._verdicts.move_to_end(key)
        if len(self._verdicts) > self._size:
            self._verdicts.popitem(last=False)
