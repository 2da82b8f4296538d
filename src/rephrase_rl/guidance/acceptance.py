"""Whether a candidate may enter: acceptance rules.

Two refusals are not rules but necessities, and ``step.py`` makes them for every method: an
``empty`` candidate has nothing to train on, an ``unscorable`` one has no advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.prompts import remove_meta_text

if TYPE_CHECKING:
    from rephrase_rl.records import Candidate, Rollout


@dataclass(frozen=True, slots=True)
class RewardAboveReplaced:
    """The candidate's reward must exceed that of the rollout it replaces.

    Readers of arXiv:2602.10819 disagree on whether the paper asks for it; a worse replacement
    teaches nothing. With it the mean reward of a group never falls by injection.
    """

    name: str = "reward_above_replaced"

    def __call__(self, candidate: Candidate, replaced: Rollout) -> bool:
        """Strictly better than the replaced rollout."""
        return candidate.reward > replaced.reward


@dataclass(frozen=True, slots=True)
class Finished:
    """The candidate must have ended by itself, not at the length limit."""

    name: str = "finished"

    def __call__(self, candidate: Candidate, replaced: Rollout) -> bool:
        """Ended with an end-of-sequence token."""
        return candidate.completion.finished


@dataclass(frozen=True, slots=True)
class NoMetaText:
    """No phrase may be left that betrays that a reference was shown."""

    name: str = "no_meta_text"

    def __call__(self, candidate: Candidate, replaced: Rollout) -> bool:
        """Neither a removable nor an unremovable meta phrase remains."""
        cleaned = remove_meta_text(candidate.completion.text)
        return not cleaned.removed and not cleaned.leftover
