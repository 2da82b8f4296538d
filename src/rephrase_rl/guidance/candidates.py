"""From a sampled completion to a candidate, and why a candidate is refused.

Shared by the guidance step and by rewriting ahead of supervised training.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rephrase_rl.records import Candidate, Completion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rephrase_rl.guidance.blocks import AcceptRule, CleanedCompletion
    from rephrase_rl.records import Origin, Problem, Rollout


def cleaned_candidate(
    completion: Completion,
    clean: Callable[[str], CleanedCompletion],
    encode: Callable[[str], Sequence[int]],
    origin: Origin,
) -> Candidate:
    """Remove meta text; the sampled tokens are kept to the letter where nothing was removed.

    Args:
        completion: As it was sampled.
        clean: The source's removal of meta text.
        encode: Token ids of a text, without special tokens.
        origin: The source's name for its candidates.

    Returns:
        A candidate that nobody has judged yet: its rewards are NaN.
    """
    cleaned = clean(completion.text)
    trained = completion
    if cleaned.text != completion.text:
        # A model may have several end tokens; the row must end with the one that was sampled.
        end = completion.token_ids[-1:] if completion.finished else ()
        trained = Completion(cleaned.text, (*encode(cleaned.text), *end), completion.finished)
    return Candidate(
        completion=trained,
        origin=origin,
        reward=math.nan,
        correctness=math.nan,
        raw_text=completion.text,
        num_sampled_tokens=len(completion.token_ids),
        removed_meta=cleaned.removed,
        leftover_meta=cleaned.leftover,
    )


def is_empty(candidate: Candidate) -> bool:
    """Whether there is nothing to judge or to train on."""
    return not candidate.completion.text.strip() or not candidate.completion.token_ids


def unfit(candidate: Candidate, max_tokens: int) -> str | None:
    """Why a text is refused without being judged; None: it is worth a verdict."""
    if is_empty(candidate):
        return "empty"
    return "over_length" if len(candidate.completion.token_ids) > max_tokens else None


def refusals(
    candidate: Candidate,
    replaced: Rollout,
    problem: Problem,
    rules: Sequence[AcceptRule],
    max_tokens: int,
) -> tuple[str, ...]:
    """Names of what speaks against a judged candidate: three necessities, then the rules."""
    reason = unfit(candidate, max_tokens)
    if reason is not None:
        return (reason,)
    # Another reward may still have a value; what nobody could call right must not be trained on.
    if math.isnan(candidate.reward) or math.isnan(candidate.correctness):
        return ("unscorable",)
    return tuple(rule.name for rule in rules if not rule(candidate, replaced, problem))
