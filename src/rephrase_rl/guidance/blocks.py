"""The questions a method answers, as protocols: gate, source, acceptance rule, slot.

A user's own block is any callable or small class of this form. The fifth block, how injected
tokens are trained, belongs to the trainer and is named in ``Guidance.train``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import (
        Candidate,
        Completion,
        Message,
        Origin,
        Problem,
        Rollout,
        RolloutGroup,
    )


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a block may know besides the group: where in the run it stands."""

    step: int
    """Optimiser step at which the group was generated, from 0."""
    rank: int = 0
    """Process that holds the group."""
    seed: int = 0
    """Seed of the run, for blocks that draw: derive from it, never use a global generator."""


class Gate(Protocol):
    """When to intervene."""

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether expert knowledge may enter this group."""
        ...


class Source(Protocol):
    """What to bring in: the context in which the policy writes a candidate."""

    @property
    def origin(self) -> Origin:
        """How candidates of this source are labelled in records."""
        ...

    def context_messages(self, problem: Problem) -> tuple[Message, ...]:
        """The prompt P(q, k) from which the candidate is sampled."""
        ...

    def clean(self, text: str) -> CleanedCompletion:
        """The candidate's text as it may be trained on, and what was taken out of it."""
        ...


class CleanedCompletion(NamedTuple):
    """Text after removal of meta text."""

    text: str
    removed: tuple[str, ...]
    leftover: tuple[str, ...]
    """Meta phrases that could not be cut out; ``no_meta_text`` refuses such a candidate."""


class AcceptRule(Protocol):
    """Whether a candidate may enter."""

    @property
    def name(self) -> str:
        """The word that stands in records when this rule refuses."""
        ...

    def __call__(self, candidate: Candidate, replaced: Rollout) -> bool:
        """Whether the candidate may take the place of ``replaced``."""
        ...


class Slot(Protocol):
    """Where a candidate goes."""

    def __call__(self, group: RolloutGroup) -> int | None:
        """Position to be replaced, or None if no member of the group can be."""
        ...


class Score(NamedTuple):
    """Rewards of one completion; NaN marks an unscorable one."""

    reward: float
    """The total that advantages are made of."""
    correctness: float
    """The reward that decides failure."""


class GuidanceEngine(Protocol):
    """What the step needs of a trainer: tokens, samples and rewards.

    ``sample`` and ``score`` are called once per step on every rank, also with nothing to do: an
    engine that needs collectives pads to the largest need of any rank.
    """

    def encode_prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Token ids of a prompt as the policy would see it, untruncated."""
        ...

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """Token ids of a completion's text, without special tokens."""
        ...

    def sample(self, prompts: Sequence[tuple[int, ...]]) -> list[Completion]:
        """One completion per prompt, drawn under a random stream of its own."""
        ...

    def score(self, groups: Sequence[int], completions: Sequence[Completion]) -> list[Score]:
        """Rewards of completions for the problems of the groups with these positions."""
        ...


@dataclass(frozen=True)
class Guidance:
    """A method: one member for each of the five blocks.

    ``Guidance()`` without arguments never intervenes and is plain GRPO.
    """

    gate: Gate | None = None
    """None: never opens."""
    source: Source | None = None
    accept: tuple[AcceptRule, ...] = ()
    slot: Slot | None = None
    train: Literal["clipped_ratio"] = "clipped_ratio"
    """Injected tokens take part in the clipped surrogate with every log-prob conditioned on q."""
    sampling: Literal["lazy", "eager"] = "lazy"
    """``lazy`` samples candidates only for open gates; ``eager`` for every problem with an expert
    solution, as the paper's pseudo-code has it. Same distribution, different cost."""
    temperature: float | None = None
    """Sampling temperature of candidates. None: that of the rollouts."""
    top_p: float | None = None
    """Nucleus of candidates. None: that of the rollouts."""
    max_prompt_tokens: int = 2048
    """Limit on P(q, k) in tokens; a longer one is skipped and counted, never truncated."""
    failure_reward_threshold: float = 0.5
    """A rollout has failed if its correctness is below this (delta in the paper)."""
    correctness: str | None = None
    """Name of the reward that decides failure; required if there are several."""
    std_ddof: Literal[0, 1] = 1
    """Standard deviation of the group: 1 sample (TRL, verl), 0 population."""
    advantage_eps: float = field(default=1e-6)
    """Added to the standard deviation (TRL 1e-4, verl 1e-6)."""

    @property
    def active(self) -> bool:
        """Whether this guidance can ever inject anything."""
        return self.gate is not None and self.source is not None and self.slot is not None
