"""The questions a method answers, as protocols: gate, source, acceptance rule, slot, train rule.

A user's own block is any callable or small class of this form. ``Guidance`` joins one member of
each into a method; ``step.py`` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from rephrase_rl.guidance.training import ClippedRatio, TrainRule

if TYPE_CHECKING:
    from rephrase_rl.records import (
        Candidate,
        Completion,
        Message,
        Origin,
        Problem,
        Rollout,
        RolloutGroup,
    )

Placement: TypeAlias = Literal["member", "whole_group", "stream"]
"""What an accepted candidate becomes: one member of its group, the only member of its group that
is trained on, or a row of the separate supervised stream."""
Choice: TypeAlias = Literal["first", "most_likely", "shortest"]
"""Which of several acceptable candidates enters: the first, the one with the highest mean log-prob
per token given q, or the one with the fewest tokens."""


def no_history(problem_id: str) -> tuple[float, ...]:
    """The history of a problem in a run that keeps none."""
    return ()


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a block may know besides the group: where in the run it stands."""

    step: int
    """Optimiser step at which the group was generated, from 0."""
    rank: int = 0
    """Process that holds the group."""
    seed: int = 0
    """Seed of the run, for blocks that draw: derive from it, never use a global generator."""
    history: Callable[[str], tuple[float, ...]] = no_history
    """Problem id -> share of own rollouts that passed at each earlier visit, oldest first."""


class Gate(Protocol):
    """When to intervene."""

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether expert knowledge may enter this group."""
        ...


class Ask(NamedTuple):
    """A draft that has to be sampled: the prompt, and what the completion begins with."""

    messages: tuple[Message, ...] | None
    """The prompt, such as P(q, k); None: the group's own prompt q."""
    prefix: str = ""
    """Text that the completion begins with; its tokens are not sampled."""
    prefix_share: float = 1.0
    """Share of the prefix's tokens that is used, from the start."""


class Ready(NamedTuple):
    """A draft that is there already, so nothing is sampled."""

    text: str
    token_ids: tuple[int, ...] | None = None
    """Its tokens, the end token included, if it was sampled before; None: tokenised anew."""
    context_ids: tuple[int, ...] | None = None
    """The prompt it was sampled from, if that was not q."""


class Nothing(NamedTuple):
    """No draft, and why; the word stands in records as the group's reason."""

    reason: str


Draft: TypeAlias = Ask | Ready | Nothing


class CleanedCompletion(NamedTuple):
    """Text after removal of meta text."""

    text: str
    removed: tuple[str, ...]
    leftover: tuple[str, ...]
    """Meta phrases that could not be cut out; ``no_meta_text`` refuses such a candidate."""


class Source(Protocol):
    """What to bring in.

    A source with a memory has two more methods, which ``remembers`` recognises: ``observe`` and a
    pair ``state`` / ``load_state``.
    """

    @property
    def origin(self) -> Origin:
        """How candidates of this source are labelled in records."""
        ...

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """What is offered for this group."""
        ...

    def clean(self, text: str) -> CleanedCompletion:
        """The candidate's text as it may be trained on, and what was taken out of it."""
        ...


class AcceptRule(Protocol):
    """Whether a candidate may enter."""

    @property
    def name(self) -> str:
        """The word that stands in records when this rule refuses."""
        ...

    def __call__(self, candidate: Candidate, replaced: Rollout, problem: Problem) -> bool:
        """Whether the candidate may take the place of ``replaced``."""
        ...


class Slot(Protocol):
    """Where a candidate goes."""

    @property
    def placement(self) -> Placement:
        """What an accepted candidate becomes."""
        ...

    def __call__(self, group: RolloutGroup, context: StepContext) -> int | None:
        """Position to be replaced, or None if no member of the group can be.

        For a placement other than ``member``: the rollout that acceptance rules compare with.
        """
        ...


class Score(NamedTuple):
    """Rewards of one completion; NaN marks an unscorable one."""

    reward: float
    """The total that advantages are made of."""
    correctness: float
    """The reward that decides failure."""


class TokenLogps(NamedTuple):
    """Log-probs (nats) of a completion's tokens given q and given the prompt it was made from."""

    on_q: tuple[float, ...]
    on_context: tuple[float, ...]


class Measurement(NamedTuple):
    """A completion whose log-probs are asked for."""

    group: int
    """Position of its group, whose prompt is q."""
    context_ids: tuple[int, ...] | None
    """Tokens of the prompt it was sampled from; None: only q is asked for."""
    token_ids: tuple[int, ...]
    """Tokens of the completion, at least one."""


class GuidanceEngine(Protocol):
    """What the step needs of a trainer: tokens, samples, rewards and log-probs.

    ``sample``, ``score`` and ``measure`` are called once per step on every rank, also with nothing
    to do: an engine that needs collectives pads to the largest need of any rank.
    """

    def question_ids(self, group: int) -> tuple[int, ...]:
        """Token ids of the prompt q of the group at this position."""
        ...

    def encode_prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Token ids of a prompt as the policy would see it, untruncated."""
        ...

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """Token ids of a completion's text, without special tokens."""
        ...

    def decode_completion(self, token_ids: Sequence[int]) -> str:
        """Text of a completion's tokens, without special tokens."""
        ...

    @property
    def end_id(self) -> int:
        """The token that ends a completion."""
        ...

    @property
    def max_completion_tokens(self) -> int:
        """Longest completion that is trained on, in tokens."""
        ...

    def anticipated(self, prompt: tuple[int, ...]) -> bool:
        """Whether a candidate of this prompt is there already, wanted or not."""
        ...

    def sample(self, prompts: Sequence[tuple[int, ...]]) -> list[Completion]:
        """One completion per prompt, drawn under a random stream of its own.

        ``Completion.sampling_logps``, where an engine has them, are log-probs at the temperature of
        training: what ``measure`` would find for the prompt.
        """
        ...

    def score(self, groups: Sequence[int], completions: Sequence[Completion]) -> list[Score]:
        """Rewards of completions for the problems of the groups with these positions."""
        ...

    def measure(self, wanted: Sequence[Measurement]) -> list[TokenLogps]:
        """Log-probs of completions under the policy as it is, without gradient."""
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
    train: TrainRule = field(default_factory=ClippedRatio)
    """How injected tokens are trained."""
    sampling: Literal["lazy", "eager", "anticipated"] = "lazy"
    """``lazy`` samples candidates only for open gates; ``eager`` for every problem with an expert
    solution, as the paper's pseudo-code has it; ``anticipated`` as lazy, but where a gate is
    expected to open, together with the rollouts. Same distribution, different cost."""
    num_candidates: int = 1
    """Candidates that are sampled for each group; the paper has one."""
    choice: Choice = "first"
    """Which of several acceptable candidates enters."""
    temperature: float | None = None
    """Sampling temperature of candidates. None: that of the rollouts."""
    top_p: float | None = None
    """Nucleus of candidates. None: that of the rollouts."""
    max_prompt_tokens: int = 2048
    """Limit on P(q, k) in tokens; a longer one is skipped and counted, never truncated."""
    over_length: Literal["refuse", "truncate"] = "refuse"
    """A ready text longer than a completion may be: refused and counted, or cut there, as LUFFY's
    code does, whose verifier then sees an unfinished text."""
    failure_reward_threshold: float = 0.5
    """A rollout has failed if its correctness is below this (delta in the paper)."""
    correctness: str | None = None
    """Name of the reward that decides failure; required if there are several."""
    correctness_of: Mapping[str, str] = field(default_factory=dict)
    """Name of a data set -> name of the reward that decides failure there, in place of it."""
    std_ddof: Literal[0, 1] = 1
    """Standard deviation of the group: 1 sample (TRL, verl), 0 population."""
    advantage_eps: float = 1e-6
    """Added to the standard deviation (TRL 1e-4, verl 1e-6)."""
    no_spread: Literal["keep", "drop", "resample"] = "keep"
    """What becomes of groups whose rewards are all equal: kept in the denominator of the loss, left
    out of it, or replaced by groups of further problems."""
    max_rounds: int = 3
    """Most rounds of resampling in one generation batch."""
    expert_logp_every: int = 10
    """Optimiser steps between measurements of the expert's own text; 0: never."""

    @property
    def active(self) -> bool:
        """Whether this guidance can ever bring anything in."""
        return self.gate is not None and self.source is not None and self.slot is not None
