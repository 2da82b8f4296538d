"""Sources with a memory: replay of own successes, and re-use of accepted candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

from rephrase_rl.guidance.blocks import CleanedCompletion, Draft, Nothing, Ready
from rephrase_rl.guidance.sources import (
    ExpertPrefixSource,
    ExpertTextSource,
    RationaleSource,
    RefinementSource,
    RephraseSource,
)

if TYPE_CHECKING:
    from rephrase_rl.guidance.blocks import Source, StepContext
    from rephrase_rl.records import JSON, Candidate, Origin, RolloutGroup


class Outcome(NamedTuple):
    """What became of one group."""

    group: RolloutGroup
    """As sampled, before injection."""
    accepted: tuple[Candidate, ...]


@runtime_checkable
class Memory(Protocol):
    """What a source with a memory has besides ``draft`` and ``clean``."""

    def observe(self, outcomes: Sequence[Outcome], context: StepContext) -> None:
        """Take in the outcomes of one step; called once per step after all is settled."""
        ...

    def state(self) -> JSON:
        """All that is remembered, as plain JSON data."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state`` gave."""
        ...


def remembers(source: object) -> TypeGuard[Memory]:
    """Whether a source has a memory."""
    return isinstance(source, Memory)


def drafts_ahead(source: object) -> bool:
    """Whether a source's prompt follows from the problem alone, before anything is sampled."""
    if isinstance(source, CachedSource):
        source = source.inner
    return isinstance(source, RephraseSource | RationaleSource)


def needs_expert(source: object) -> bool:
    """Whether a source brings in nothing for a problem without an expert solution."""
    if isinstance(source, CachedSource):
        source = source.inner
    if isinstance(source, RefinementSource):
        return source.show_expert
    return isinstance(source, RephraseSource | ExpertTextSource | ExpertPrefixSource)


class Remembered(NamedTuple):
    """A completion, and when it was sampled."""

    step: int
    text: str
    token_ids: tuple[int, ...]
    context_ids: tuple[int, ...] | None = None


def _save(kept: Sequence[Remembered]) -> JSON:
    return [
        [r.step, r.text, list(r.token_ids), None if r.context_ids is None else list(r.context_ids)]
        for r in kept
    ]


def _load(items: Sequence[Any]) -> list[Remembered]:
    return [
        Remembered(step, text, tuple(ids), None if context is None else tuple(context))
        for step, text, ids, context in items
    ]


class ReplaySource:
    """An earlier success of the policy on the same problem.

    Source: replay of own past samples (arXiv:2506.09340); here one success for a failed group.
    """

    def __init__(self, capacity: int = 8, failure_reward_threshold: float = 0.5) -> None:
        """Args: successes kept per problem (0: none), and what counts as one."""
        self._capacity = capacity
        self._threshold = failure_reward_threshold
        self._successes: dict[str, list[Remembered]] = {}

    @property
    def origin(self) -> Origin:
        """Candidates are labelled ``replay``."""
        return "replay"

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """The newest success of an earlier step."""
        kept = self._successes.get(group.problem.problem_id, [])
        earlier = [success for success in kept if success.step < context.step]
        if not earlier:
            return Nothing("empty_buffer")
        return Ready(earlier[-1].text, earlier[-1].token_ids)

    def clean(self, text: str) -> CleanedCompletion:
        """As it is: the policy wrote it without help."""
        return CleanedCompletion(text, (), ())

    def observe(self, outcomes: Sequence[Outcome], context: StepContext) -> None:
        """Keep the finished rollouts that passed."""
        if self._capacity == 0:
            return
        for group, _ in outcomes:
            new = [
                Remembered(context.step, r.completion.text, r.completion.token_ids)
                for r in group.rollouts
                if r.correctness >= self._threshold and r.completion.finished
            ]
            if new:
                kept = self._successes.setdefault(group.problem.problem_id, [])
                kept += new
                del kept[: -self._capacity]

    def state(self) -> JSON:
        """Successes by problem id."""
        return {"successes": {key: _save(kept) for key, kept in self._successes.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._successes = {key: _load(kept) for key, kept in state["successes"].items()}


class CachedSource:
    """Another source, whose accepted candidates are offered again for some steps.

    A candidate that began with a given prefix is not kept: what is ready cannot say which of its
    tokens were given, and they are trained in another way than those that were sampled. Nor is one
    that did not end by itself, since what is ready counts as whole.
    """

    def __init__(self, inner: Source, max_age_steps: int) -> None:
        """Args: the source, and the optimiser steps for which a candidate may be offered again."""
        self.inner = inner
        self._max_age = max_age_steps
        self._accepted: dict[str, Remembered] = {}

    @property
    def origin(self) -> Origin:
        """That of the other source."""
        return self.inner.origin

    def draft(self, group: RolloutGroup, context: StepContext) -> Draft:
        """The candidate that was accepted last, if it is young enough; else the other's draft."""
        kept = self._accepted.get(group.problem.problem_id)
        if kept is not None and context.step - kept.step <= self._max_age:
            return Ready(kept.text, kept.token_ids, kept.context_ids)
        return self.inner.draft(group, context)

    def clean(self, text: str) -> CleanedCompletion:
        """As the other source does; what was cleaned once stays as it is."""
        return self.inner.clean(text)

    def observe(self, outcomes: Sequence[Outcome], context: StepContext) -> None:
        """Keep newly sampled candidates; one that is offered again does not get younger."""
        for group, accepted in outcomes:
            for candidate in accepted:
                whole = candidate.completion.finished and not candidate.num_prefix_tokens
                if candidate.num_sampled_tokens and whole:
                    self._accepted[group.problem.problem_id] = Remembered(
                        context.step,
                        candidate.completion.text,
                        candidate.completion.token_ids,
                        candidate.context_ids,
                    )
        if remembers(self.inner):
            self.inner.observe(outcomes, context)

    def state(self) -> JSON:
        """Candidates by problem id, and the other source's memory."""
        inner = self.inner.state() if remembers(self.inner) else None
        return {"accepted": {k: _save([v]) for k, v in self._accepted.items()}, "inner": inner}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self._accepted = {key: _load(kept)[0] for key, kept in state["accepted"].items()}
        if remembers(self.inner):
            self.inner.load_state(state["inner"])
