"""What a check of steps says of a text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from rephrase_rl.records import Problem


class StepValidity(NamedTuple):
    """How many of the steps that could be checked are right."""

    valid: int
    found: int
    """Steps that could be checked; what cannot be checked is in neither count."""

    @property
    def share(self) -> float:
        """Share of right steps; NaN if none could be checked."""
        return self.valid / self.found if self.found else math.nan


StepCheck: TypeAlias = "Callable[[str, Problem], StepValidity]"
"""Checks the steps of a text that was written for a problem."""
