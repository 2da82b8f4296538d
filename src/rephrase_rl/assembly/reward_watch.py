"""Says loudly that a run's reward has never differed: nothing can be learned from it."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import GroupRecord


class RewardWatch:
    """Looks at every reward of a run; warns after some steps, and again at its end."""

    def __init__(self, steps: int | None) -> None:
        """Args: steps after which a reward that was always the same is spoken of; None: never."""
        self._steps = steps
        self._values: set[float] = set()
        self._seen: set[int] = set()
        self._count = 0
        self._said = False

    def see(self, records: Sequence[GroupRecord]) -> None:
        """Take in the groups of one generation batch."""
        if self._steps is None or len(self._values) > 1:
            return
        self._seen.update(record.step for record in records)
        for record in records:
            members = [*record.members, *([record.replaced] if record.replaced else [])]
            scored = [m.reward for m in members if not math.isnan(m.reward)]
            self._values.update(scored)
            self._count += len(scored)
        if len(self._seen) >= self._steps and not self._said:
            self._said = True
            self._warn()

    def at_end(self) -> float | None:
        """Warn once more; the reward that every completion had, None if they differed."""
        if self._steps is None or not self.is_constant:
            return None
        self._warn()
        return next(iter(self._values))

    @property
    def is_constant(self) -> bool:
        """Whether there were rewards and no two differed."""
        return len(self._values) == 1

    def _warn(self) -> None:
        if not self._values:
            warnings.warn(
                f"NO REWARD: no completion of {len(self._seen)} steps could be judged. Nothing is "
                "learned; check the verifier and the reference answers",
                stacklevel=3,
            )
        elif self.is_constant:
            warnings.warn(
                f"CONSTANT REWARD: all {self._count} completions of {len(self._seen)} steps got "
                f"{next(iter(self._values)):g}. Advantages are 0 and nothing is learned: look at "
                "`rephrase-rl report`'s groups, check verifier, reference answers and "
                "trainer.max_completion_length, or choose problems that are neither too hard nor "
                "too easy (guards.constant_reward_steps)",
                stacklevel=3,
            )
