"""The guidance step: gate -> source -> verify -> accept -> slot, for all groups of one step.

This is the only place that knows the order, and the whole of RePO (arXiv:2602.10819, section 3)
between sampling and the policy update: groups of rollouts go in, groups of the same size come out,
some with one member replaced by the policy's own rewrite of the expert solution. It touches no
trainer, tokenizer or random generator; those are behind ``GuidanceEngine``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from rephrase_rl.core.diagnostics import rescued
from rephrase_rl.core.gates import failure_fraction
from rephrase_rl.records import Candidate, Completion, Rollout, RolloutGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.guidance.blocks import (
        AcceptRule,
        Guidance,
        GuidanceEngine,
        Score,
        Source,
        StepContext,
    )

GateReason = Literal["open", "closed", "no_expert", "unscored", "over_length"]


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What is to be done for one group, decided from its rewards before anything is sampled."""

    gate_open: bool
    reason: GateReason
    prompt_ids: tuple[int, ...] | None
    """Tokens of P(q, k) if a candidate is to be sampled, else None."""


@dataclass(frozen=True, slots=True)
class GuidedGroup:
    """A group after guidance, with the reasons for what happened to it."""

    group: RolloutGroup
    """The group to train on; the very object that came in if nothing was injected."""
    gate_open: bool
    reason: GateReason
    failure_fraction: float
    """Share of failed rollouts before injection; NaN if none was scored."""
    candidates: tuple[Candidate, ...] = ()
    context_ids: tuple[int, ...] | None = None
    """Tokens of P(q, k) from which the candidates were sampled."""
    slot: int | None = None
    replaced: Rollout | None = None
    rescued: bool = False


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
        engine: Tokens, samples and rewards. ``engine.sample`` and ``engine.score`` are called
            exactly once each if ``guidance.active``, whatever the gates say.
        context: Step, rank and seed.

    Returns:
        One guided group per group, in the same order and of the same size.
    """
    plans = [plan_group(group, guidance, engine, context) for group in groups]
    if not guidance.active:
        return [
            _settle(group, plan, None, guidance) for group, plan in zip(groups, plans, strict=True)
        ]
    assert guidance.source is not None

    asked = [(i, plan.prompt_ids) for i, plan in enumerate(plans) if plan.prompt_ids is not None]
    sampled = engine.sample([prompt_ids for _, prompt_ids in asked])
    candidates = [_clean(completion, guidance.source, engine) for completion in sampled]
    # An empty text cannot be judged, let alone trained on, so no verifier is asked about it.
    worth = [j for j, candidate in enumerate(candidates) if candidate.completion.text.strip()]
    scores = engine.score([asked[j][0] for j in worth], [candidates[j].completion for j in worth])
    for j, score in zip(worth, scores, strict=True):
        candidates[j] = _with_score(candidates[j], score)

    by_group = {i: candidate for (i, _), candidate in zip(asked, candidates, strict=True)}
    return [
        _settle(group, plan, by_group.get(i), guidance)
        for i, (group, plan) in enumerate(zip(groups, plans, strict=True))
    ]


def plan_group(
    group: RolloutGroup, guidance: Guidance, engine: GuidanceEngine, context: StepContext
) -> GroupPlan:
    """Decide from a group's rewards whether its gate opens and whether a candidate is sampled."""
    if all(math.isnan(value) for value in group.correctness):
        return GroupPlan(False, "unscored", None)
    gate_open = guidance.gate is not None and guidance.gate(group, context)
    if not guidance.active or not (gate_open or guidance.sampling == "eager"):
        return GroupPlan(gate_open, "open" if gate_open else "closed", None)
    if group.problem.expert_solution is None:
        return GroupPlan(False, "no_expert" if gate_open else "closed", None)
    assert guidance.source is not None
    prompt_ids = engine.encode_prompt(guidance.source.context_messages(group.problem))
    if len(prompt_ids) > guidance.max_prompt_tokens:
        return GroupPlan(False, "over_length" if gate_open else "closed", None)
    return GroupPlan(gate_open, "open" if gate_open else "closed", prompt_ids)


def _clean(completion: Completion, source: Source, engine: GuidanceEngine) -> Candidate:
    """Remove meta text; the sampled tokens are kept to the letter where nothing was removed."""
    cleaned = source.clean(completion.text)
    trained = completion
    if cleaned.text != completion.text:
        # A model may have several end tokens; the row must end with the one that was sampled.
        end = completion.token_ids[-1:] if completion.finished else ()
        token_ids = (*engine.encode_completion(cleaned.text), *end)
        trained = Completion(cleaned.text, token_ids, completion.finished)
    return Candidate(
        completion=trained,
        origin=source.origin,
        reward=math.nan,
        correctness=math.nan,
        raw_text=completion.text,
        num_sampled_tokens=len(completion.token_ids),
        removed_meta=cleaned.removed,
    )


def _with_score(candidate: Candidate, score: Score) -> Candidate:
    return dataclasses.replace(candidate, reward=score.reward, correctness=score.correctness)


def _settle(
    group: RolloutGroup, plan: GroupPlan, candidate: Candidate | None, guidance: Guidance
) -> GuidedGroup:
    """Accept or refuse the candidate and put it into its slot."""
    unchanged = GuidedGroup(group, plan.gate_open, plan.reason, _failure_fraction(group, guidance))
    if candidate is None:
        return unchanged
    unchanged = dataclasses.replace(unchanged, context_ids=plan.prompt_ids)
    if not plan.gate_open:  # eager sampling: the candidate was made but is not wanted
        refused = dataclasses.replace(candidate, refusals=("gate_closed",))
        return dataclasses.replace(unchanged, candidates=(refused,))
    assert guidance.slot is not None
    slot = guidance.slot(group)
    if slot is None:
        refused = dataclasses.replace(candidate, refusals=("no_slot",))
        return dataclasses.replace(unchanged, candidates=(refused,))
    replaced = group.rollouts[slot]
    judged = dataclasses.replace(
        candidate, refusals=_refusals(candidate, replaced, guidance.accept)
    )
    if not judged.accepted:
        return dataclasses.replace(unchanged, candidates=(judged,))
    return _inject(unchanged, judged, slot)


def _refusals(
    candidate: Candidate, replaced: Rollout, rules: Sequence[AcceptRule]
) -> tuple[str, ...]:
    if not candidate.completion.text.strip() or not candidate.completion.token_ids:
        return ("empty",)
    # Another reward may still have a value; what nobody could call right must not be trained on.
    if math.isnan(candidate.reward) or math.isnan(candidate.correctness):
        return ("unscorable",)
    return tuple(rule.name for rule in rules if not rule(candidate, replaced))


def _inject(unchanged: GuidedGroup, candidate: Candidate, slot: int) -> GuidedGroup:
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
        candidates=(candidate,),
        slot=slot,
        replaced=before.rollouts[slot],
        rescued=bool(rescued_P.item()),
    )


def _failure_fraction(group: RolloutGroup, guidance: Guidance) -> float:
    correctness_PG = torch.tensor([group.correctness], dtype=torch.float64)
    fraction_P = failure_fraction(
        correctness_PG, failure_reward_threshold=guidance.failure_reward_threshold
    )
    return float(fraction_P.item())
