"""Whether a candidate may enter: acceptance rules.

Three refusals are not rules but necessities, and ``step.py`` makes them for every method: an
``empty`` candidate has nothing to train on, an ``over_length`` one does not fit, an ``unscorable``
one has no advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.guidance.overlap import copied_share
from rephrase_rl.guidance.steps import arithmetic_steps
from rephrase_rl.prompts import remove_meta_text

if TYPE_CHECKING:
    from rephrase_rl.guidance.steps import StepCheck, StepValidity
    from rephrase_rl.records import Candidate, Problem, Rollout


@dataclass(frozen=True, slots=True)
class RewardAboveReplaced:
    """The candidate's reward must exceed that of the rollout it replaces.

    Readers of arXiv:2602.10819 disagree on whether the paper asks for it; a worse replacement
    teaches nothing. With it the mean reward of a group never falls by injection.
    """

    name: str = "reward_above_replaced"

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """Strictly better than the replaced rollout."""
        return candidate.reward > replaced.reward


@dataclass(frozen=True, slots=True)
class Correct:
    """The candidate's correctness must reach the failure threshold."""

    failure_reward_threshold: float = 0.5
    name: str = "correct"

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """Not a failure."""
        return candidate.correctness >= self.failure_reward_threshold


@dataclass(frozen=True, slots=True)
class Finished:
    """The candidate must have ended by itself, not at the length limit."""

    name: str = "finished"

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """Ended with an end-of-sequence token."""
        return candidate.completion.finished


@dataclass(frozen=True, slots=True)
class NoMetaText:
    """No phrase may be left that betrays that a reference was shown."""

    name: str = "no_meta_text"

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """Neither a removable nor an unremovable meta phrase remains."""
        cleaned = remove_meta_text(candidate.completion.text)
        return not cleaned.removed and not cleaned.leftover


@dataclass(frozen=True, slots=True)
class NotCopied:
    """The candidate must not be, for the most part, one passage of the expert solution."""

    max_share: float = 0.6
    """Largest share of the candidate's words that its longest passage in common may have."""
    name: str = "not_copied"

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """The longest common run of words is short enough; anything goes without an expert."""
        if problem.expert_solution is None:
            return True
        return copied_share(candidate.completion.text, problem.expert_solution) <= self.max_share


@dataclass(frozen=True, slots=True)
class WithinLength:
    """The candidate's length must lie within bounds."""

    min_tokens: int = 1
    max_tokens: int | None = None
    max_ratio_to_expert: float | None = None
    """Most characters, as a multiple of the expert solution's."""
    name: str = "within_length"

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """Neither too short nor too long."""
        num_tokens = len(candidate.completion.token_ids)
        if num_tokens < self.min_tokens:
            return False
        if self.max_tokens is not None and num_tokens > self.max_tokens:
            return False
        if self.max_ratio_to_expert is None or problem.expert_solution is None:
            return True
        limit = self.max_ratio_to_expert * len(problem.expert_solution)
        return len(candidate.completion.text) <= limit


def check_arithmetic(text: str, problem: Problem) -> StepValidity:
    """The steps ``a op b = c`` of a text, whatever the problem."""
    return arithmetic_steps(text)


@dataclass(frozen=True, slots=True)
class StepsValid:
    """The steps that the candidate writes down must be right, as far as they can be checked.

    A right answer below wrong steps was taken over, not understood.
    """

    min_share: float = 1.0
    """Smallest share of right steps among those that can be checked."""
    min_steps: int = 0
    """Fewest steps that must be there to be checked. 0: a text without any is not refused."""
    check: StepCheck = check_arithmetic
    name: str = "steps_valid"

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """Enough steps, and enough of them right."""
        found = self.check(candidate.completion.text, problem)
        if found.found < self.min_steps:
            return False
        return found.found == 0 or found.share >= self.min_share
