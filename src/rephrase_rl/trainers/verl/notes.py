"""What a worker tells the trainer of each row of a group."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import torch

from rephrase_rl.core.advantages import has_spread
from rephrase_rl.guidance.recording import group_record
from rephrase_rl.guidance.token_records import spell
from rephrase_rl.records import GroupRecord, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.guidance.blocks import Guidance, Score, StepContext
    from rephrase_rl.guidance.step import GuidedGroup
    from rephrase_rl.guidance.token_records import TokenRecorder

RECORD = "record"
"""JSON text of the group's record, on its first row; advantages are not known yet."""
UNSCORED = "unscored"
"""Whether the row could not be judged: it has no advantage and no say in its group's mean."""
LEFT_OUT = "left_out"
"""Whether the row is not trained on."""
INJECTED = "injected_tokens"
"""How many of its first tokens were injected."""
CONTEXT_LOGPS = "context_logps"
"""Log-probs of its tokens under the prompt that it was sampled from; None: unknown or q itself."""
PIECES = "pieces"
"""What each of its tokens adds to the text; None: the record keeps no tokens."""
EXPERT = "expert"
"""On a group's first row: (sum of log-probs, number) of the expert's tokens; None: not measured."""


def notes_of_group(
    guided: GuidedGroup,
    guidance: Guidance,
    context: StepContext,
    *,
    tokens: TokenRecorder,
    expert: tuple[float, int] | None = None,
) -> list[dict[str, Any]]:
    """Notes of the rows of a whole group, in order.

    Args:
        guided: The group after guidance.
        guidance: The method, which may leave rows out.
        context: Step and seed.
        tokens: Writes the tokens of candidates.
        expert: Sum and number of the log-probs of the expert's tokens, where they were measured.
    """
    rollouts = guided.group.rollouts
    drops = guidance.no_spread == "drop" and not _has_signal(guided)
    # Of an accepted candidate the trainer knows the log-probs; of others the servers do, if asked.
    measured = tokens if tokens.kept == "all" else None
    record = group_record(guided, [math.nan] * len(rollouts), context, tokens=measured)
    notes = []
    for i, rollout in enumerate(rollouts):
        injected = i == guided.slot
        alone = guided.slot is not None and guided.placement == "whole_group"
        candidate = guided.accepted if injected else None
        own: dict[str, Any] = {
            RECORD: json.dumps(to_json(record)) if i == 0 else None,
            UNSCORED: math.isnan(rollout.reward),
            LEFT_OUT: (alone and not injected) or (drops and not alone),
            INJECTED: 0,
            CONTEXT_LOGPS: None,
            PIECES: None,
            EXPERT: expert if i == 0 else None,
        }
        if candidate is not None:
            # Of a prefix with the policy's own continuation, only the prefix is foreign.
            own[INJECTED] = candidate.num_prefix_tokens or len(candidate.completion.token_ids)
            if candidate.context_ids is not None and candidate.logps_on_context:
                own[CONTEXT_LOGPS] = list(candidate.logps_on_context)
            if tokens.kept != "none":
                own[PIECES] = spell(candidate.completion.token_ids, tokens.decoder)
        notes.append(own)
    return notes


def notes_of_row(score: Score) -> dict[str, Any]:
    """Notes of a row whose group is not whole, and therefore not guided."""
    return {
        RECORD: None,
        UNSCORED: math.isnan(score.reward),
        LEFT_OUT: False,
        INJECTED: 0,
        CONTEXT_LOGPS: None,
        PIECES: None,
        EXPERT: None,
    }


def record_of(notes: Mapping[str, Any]) -> GroupRecord | None:
    """The group's record, where the row carries it."""
    text = notes.get(RECORD)
    return None if text is None else from_json(GroupRecord, json.loads(text))


def _has_signal(guided: GuidedGroup) -> bool:
    rewards_PG = torch.tensor([guided.group.rewards], dtype=torch.float64)
    return bool(has_spread(rewards_PG).item())
