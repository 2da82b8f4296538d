"""The guidance step: gate -> source -> verify -> accept -> slot, for all groups of one step.

This is the only place that knows the order, and the whole of RePO (arXiv:2602.10819, section 3)
between sampling and the policy update: groups of rollouts go in, groups of the same size come out,
some with one member replaced by the policy's own rewrite of the expert solution. Its relatives
differ in the blocks alone. It touches no trainer, tokenizer or random generator; those are behind
``GuidanceEngine``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rephrase_rl.core.diagnostics import rescued
from rephrase_rl.core.gates import failure_fraction
from rephrase_rl.guidance.blocks import Ask, Measurement, Nothing, Ready
from rephrase_rl.guidance.candidates import cleaned_candidate, refusals, unfit
from rephrase_rl.guidance.gate_by_dataset import never_guided
from rephrase_rl.guidance.gates import opens
from rephrase_rl.guidance.memory import Outcome, remembers
from rephrase_rl.records import Candidate, Completion, Rollout, RolloutGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.guidance.blocks import (
        Choice,
        Guidance,
        GuidanceEngine,
        Placement,
        Source,
        StepContext,
    )


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What is to be done for one group, decided from its rewards before anything is sampled."""

    gate_open: bool
    reason: str
    """``open``, ``closed``, ``unscored``, ``over_length``, or the source's reason for nothing."""
    prompt_ids: tuple[int, ...] | None = None
    """Tokens to sample candidates from, those of a prefix included; None: nothing is sampled."""
    context_ids: tuple[int, ...] | None = None
    """Tokens of P(q, k); None where the prompt is q."""
    num_prefix_tokens: int = 0
    """Last tokens of ``prompt_ids`` that belong to the completion."""
    ready: Ready | None = None
    """A candidate that need not be sampled."""


@dataclass(frozen=True, slots=True)
class GuidedGroup:
    """A group after guidance, with the reasons for what happened to it."""

    group: RolloutGroup
    """The group to train on; the very object that came in if nothing was injected."""
    gate_open: bool
    reason: str
    failure_fraction: float
    """Share of failed rollouts before injection; NaN if none was scored."""
    candidates: tuple[Candidate, ...] = ()
    slot: int | None = None
    replaced: Rollout | None = None
    rescued: bool = False
    placement: Placement = "member"

    @property
    def accepted(self) -> Candidate | None:
        """The candidate that entered, if any."""
        return next((c for c in self.candidates if c.accepted), None)


def guide(
    groups: Sequence[RolloutGroup],
    guidance: Guidance,
    engine: GuidanceEngine,
    context: StepContext,
) -> list[GuidedGroup]:
    """Run the guidance step over all groups that this process holds.

    Args:
        groups: Whole groups of scored rollouts, in batch order.
        guidance: The blocks of the method.
        engine: Tokens, samples, rewards and log-probs. Its ``sample``, ``score`` and ``measure``
            are called exactly once each if ``guidance.active``, whatever the gates say.
        context: Step, rank, seed and history.

    Returns:
        One guided group per group, in the same order and of the same size.
    """
    plans = [plan_group(i, group, guidance, engine, context) for i, group in enumerate(groups)]
    offers: list[list[Candidate]] = [[] for _ in groups]
    if guidance.active:
        # What was only expected to be needed is not judged; the paper's eager form judges all.
        judged = [plan.gate_open or guidance.sampling == "eager" for plan in plans]
        offers = _judge(_offer(plans, guidance, engine), judged, engine)
    guided = [
        _settle(group, plan, offered, guidance, engine, context)
        for group, plan, offered in zip(groups, plans, offers, strict=True)
    ]
    if guidance.source is not None and remembers(guidance.source):
        outcomes = [
            Outcome(group, tuple(c for c in after.candidates if c.accepted))
            for group, after in zip(groups, guided, strict=True)
        ]
        guidance.source.observe(outcomes, context)
    return guided


def plan_group(
    index: int,
    group: RolloutGroup,
    guidance: Guidance,
    engine: GuidanceEngine,
    context: StepContext,
) -> GroupPlan:
    """Decide from a group's rewards whether its gate opens and what its source offers."""
    unscored = all(math.isnan(value) for value in group.correctness)
    if unscored and guidance.sampling != "anticipated":  # what is there already is recorded
        return GroupPlan(False, "unscored")
    gate_open = not unscored and guidance.gate is not None and opens(guidance.gate, group, context)
    word = "unscored" if unscored else "open" if gate_open else "closed"
    if not guidance.active or not (gate_open or guidance.sampling != "lazy"):
        return GroupPlan(gate_open, word)
    if never_guided(guidance.gate, group.problem):
        return GroupPlan(False, word)
    assert guidance.source is not None  # noqa: S101  (narrows the type)
    draft = guidance.source.draft(group, context)
    if isinstance(draft, Nothing):
        return GroupPlan(False, draft.reason if gate_open else word)
    if isinstance(draft, Ready):
        made = gate_open or guidance.sampling == "eager"
        return GroupPlan(gate_open, word, ready=draft if made else None)
    context_ids = None if draft.messages is None else engine.encode_prompt(draft.messages)
    prefix_ids = _first_share(engine.encode_completion(draft.prefix), draft)
    if len(context_ids or ()) > guidance.max_prompt_tokens or (
        len(prefix_ids) >= engine.max_completion_tokens
    ):
        return GroupPlan(False, "over_length" if gate_open else word)
    prompt_ids = engine.question_ids(index) if context_ids is None else context_ids
    unforeseen = guidance.sampling == "anticipated" and not engine.anticipated(prompt_ids)
    if unforeseen and not gate_open:
        return GroupPlan(gate_open, word)
    return GroupPlan(gate_open, word, (*prompt_ids, *prefix_ids), context_ids, len(prefix_ids))


def _first_share(token_ids: tuple[int, ...], draft: Ask) -> tuple[int, ...]:
    return token_ids[: round(draft.prefix_share * len(token_ids))]


def _offer(
    plans: Sequence[GroupPlan], guidance: Guidance, engine: GuidanceEngine
) -> list[list[Candidate]]:
    """The candidates of each group, cleaned and not yet judged."""
    assert guidance.source is not None  # noqa: S101  (narrows the type)
    asking = [plan for plan in plans if plan.prompt_ids is not None]
    sampled = iter(
        engine.sample(
            [plan.prompt_ids or () for plan in asking for _ in range(guidance.num_candidates)]
        )
    )
    offers: list[list[Candidate]] = []
    for plan in plans:
        if plan.ready is not None:
            offers.append([_ready_candidate(plan.ready, guidance, engine)])
        elif plan.prompt_ids is not None:
            own = [next(sampled) for _ in range(guidance.num_candidates)]
            offers.append([_clean(c, plan, guidance.source, engine) for c in own])
        else:
            offers.append([])
    return offers


def _ready_candidate(ready: Ready, guidance: Guidance, engine: GuidanceEngine) -> Candidate:
    """A text that is there already, with its own tokens if it was sampled once."""
    assert guidance.source is not None  # noqa: S101  (narrows the type)
    token_ids = ready.token_ids
    if token_ids is None:
        token_ids = (*engine.encode_completion(ready.text), engine.end_id)
    completion = Completion(ready.text, token_ids, finished=True)
    limit = engine.max_completion_tokens
    if len(token_ids) > limit and guidance.over_length == "truncate":
        cut = token_ids[:limit]
        completion = Completion(engine.decode_completion(cut), cut, finished=False)
    cleaned = guidance.source.clean(ready.text)
    return Candidate(
        completion=completion,
        origin=guidance.source.origin,
        reward=math.nan,
        correctness=math.nan,
        raw_text=ready.text,
        num_sampled_tokens=0,
        leftover_meta=cleaned.leftover,
        context_ids=ready.context_ids,
    )


def _clean(
    completion: Completion, plan: GroupPlan, source: Source, engine: GuidanceEngine
) -> Candidate:
    """The candidate that a sample is, its given prefix included."""
    whole = completion
    if plan.num_prefix_tokens and plan.prompt_ids is not None:
        token_ids = (*plan.prompt_ids[-plan.num_prefix_tokens :], *completion.token_ids)
        whole = Completion(engine.decode_completion(token_ids), token_ids, completion.finished)
    return dataclasses.replace(
        cleaned_candidate(whole, source.clean, engine.encode_completion, source.origin),
        num_sampled_tokens=len(completion.token_ids),
        num_prefix_tokens=plan.num_prefix_tokens,
        context_ids=plan.context_ids,
    )


def _judge(
    offers: Sequence[Sequence[Candidate]], wanted: Sequence[bool], engine: GuidanceEngine
) -> list[list[Candidate]]:
    """The same candidates, those of wanted groups with rewards and log-probs."""
    # What is empty or too long is refused whatever it is worth, so no verifier is asked about it
    # and no forward pass has to carry it.
    worth = [
        (i, j, candidate)
        for i, own in enumerate(offers)
        for j, candidate in enumerate(own)
        if wanted[i] and unfit(candidate, engine.max_completion_tokens) is None
    ]
    scores = engine.score([i for i, _, _ in worth], [c.completion for _, _, c in worth])
    measured = engine.measure(
        [
            Measurement(i, None if _captured(c) else c.context_ids, c.completion.token_ids)
            for i, _, c in worth
        ]
    )
    judged = [list(own) for own in offers]
    for (i, j, candidate), score, logps in zip(worth, scores, measured, strict=True):
        judged[i][j] = dataclasses.replace(
            candidate,
            reward=score.reward,
            correctness=score.correctness,
            logps_on_q=logps.on_q,
            logps_on_context=_captured(candidate) or logps.on_context,
        )
    return judged


def _captured(candidate: Candidate) -> tuple[float, ...] | None:
    """Log-probs under P(q, k) that were kept while the candidate was sampled from it.

    None where the tokens are no longer those that were sampled: where meta text was removed, a
    completion is a new one, without them.
    """
    return None if candidate.context_ids is None else candidate.completion.sampling_logps


def _settle(
    group: RolloutGroup,
    plan: GroupPlan,
    offered: Sequence[Candidate],
    guidance: Guidance,
    engine: GuidanceEngine,
    context: StepContext,
) -> GuidedGroup:
    """Accept or refuse the candidates and put the chosen one into its slot."""
    unchanged = GuidedGroup(group, plan.gate_open, plan.reason, _failure_fraction(group, guidance))
    if not offered:
        return unchanged
    if not plan.gate_open:  # the candidates were made before the gate was known; not wanted
        return dataclasses.replace(unchanged, candidates=_refused(offered, "gate_closed"))
    assert guidance.slot is not None  # noqa: S101  (narrows the type)
    slot = guidance.slot(group, context)
    if slot is None:
        return dataclasses.replace(unchanged, candidates=_refused(offered, "no_slot"))
    replaced, limit = group.rollouts[slot], engine.max_completion_tokens
    judged = [
        dataclasses.replace(
            c, refusals=refusals(c, replaced, group.problem, guidance.accept, limit)
        )
        for c in offered
    ]
    chosen = _chosen([c for c in judged if c.accepted], guidance.choice)
    candidates = tuple(
        c if c is chosen or not c.accepted else dataclasses.replace(c, refusals=("not_chosen",))
        for c in judged
    )
    unchanged = dataclasses.replace(unchanged, candidates=candidates)
    if chosen is None:
        return unchanged
    if guidance.slot.placement == "stream":
        return dataclasses.replace(unchanged, placement="stream")
    return _inject(unchanged, chosen, slot, guidance.slot.placement)


def _refused(offered: Sequence[Candidate], reason: str) -> tuple[Candidate, ...]:
    return tuple(dataclasses.replace(candidate, refusals=(reason,)) for candidate in offered)


def _chosen(acceptable: Sequence[Candidate], choice: Choice) -> Candidate | None:
    """The one that enters; the first of equals."""
    if not acceptable:
        return None
    if choice == "most_likely":
        return max(acceptable, key=lambda candidate: candidate.mean_logp_on_q)
    if choice == "shortest":
        return min(acceptable, key=lambda candidate: len(candidate.completion.token_ids))
    return acceptable[0]


def _inject(
    unchanged: GuidedGroup, candidate: Candidate, slot: int, placement: Placement
) -> GuidedGroup:
    """Replace one member; every other member stays the same object at the same position."""
    before = unchanged.group
    rollouts = list(before.rollouts)
    rollouts[slot] = Rollout(
        candidate.completion, candidate.reward, candidate.correctness, candidate.origin
    )
    after = RolloutGroup(before.problem, tuple(rollouts))
    rescued_P = rescued(
        torch.tensor([before.rewards], dtype=torch.float64),
        torch.tensor([after.rewards], dtype=torch.float64),
    )
    return dataclasses.replace(
        unchanged,
        group=after,
        slot=slot,
        replaced=before.rollouts[slot],
        rescued=bool(rescued_P.item()) and placement == "member",
        placement=placement,
    )


def _failure_fraction(group: RolloutGroup, guidance: Guidance) -> float:
    correctness_PG = torch.tensor([group.correctness], dtype=torch.float64)
    fraction_P = failure_fraction(
        correctness_PG, failure_reward_threshold=guidance.failure_reward_threshold
    )
    return float(fraction_P.item())
