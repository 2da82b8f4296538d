"""verl's rows and outputs in the vocabulary of ``records``, and what rows carry for the trainer.

A row's ``extra_fields`` holds our notes under one key. They are not tensors on purpose: verl copies
a whole row to make padding, and a value for each token would have another row's length there.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from rephrase_rl.errors import DataError
from rephrase_rl.guidance.blocks import Score
from rephrase_rl.records import Completion, Problem, from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

NOTES = "rephrase_rl"
"""Key of our notes in a row's ``extra_fields``."""
PROBLEM = "problem"
"""Key of the problem, as JSON text, in a data row's ``extra_info``."""


def problem_of_row(row: Mapping[str, Any]) -> Problem:
    """The problem that a row of our data file stands for.

    Raises:
        DataError: The row was not written by us.
    """
    info = row.get("extra_info") or {}
    if PROBLEM not in info:
        raise DataError(
            f"a data row has no extra_info.{PROBLEM} (found {', '.join(sorted(info)) or 'none'}); "
            "required: rows as `rephrase-rl train --engine verl` writes them, which carry expert "
            "solution and id: set data.train_files and data.val_files to its files"
        )
    return from_json(Problem, json.loads(info[PROBLEM]))


def completion_of(
    output: AgentLoopOutput, decode: Callable[[Sequence[int]], str], ends: Collection[int]
) -> Completion:
    """What was sampled, as a completion."""
    ids = tuple(int(token) for token in output.response_ids)
    logps = output.response_logprobs
    return Completion(
        decode(ids), ids, bool(ids) and ids[-1] in ends, None if logps is None else tuple(logps)
    )


def reward_info(score: Score) -> dict[str, float]:
    """A score in the form of verl's ``reward_extra_info``, whose values it averages.

    NaN would spread over its means, so what could not be judged is 0 with a flag beside it.
    """
    return {
        "acc": 0.0 if math.isnan(score.correctness) else score.correctness,
        "acc_scored": float(not math.isnan(score.correctness)),
        "total": 0.0 if math.isnan(score.reward) else score.reward,
        "scored": float(not math.isnan(score.reward)),
    }


def score_of(output: AgentLoopOutput) -> Score:
    """The score that ``reward_info`` was made from."""
    info = output.extra_fields["reward_extra_info"]
    return Score(
        info["total"] if info["scored"] else math.nan,
        info["acc"] if info["acc_scored"] else math.nan,
    )


def replacement(
    sibling: AgentLoopOutput,
    completion: Completion,
    score: Score,
    versions: tuple[Any, Any] | None,
) -> AgentLoopOutput:
    """An injected row: the tokens of the candidate, after the tokens of q.

    Args:
        sibling: A rollout of the group, for q and for what rows of a batch must have in common.
        completion: The candidate.
        score: Its rewards.
        versions: First and last version of the weights that sampled it; None: nothing was sampled,
            and it counts as old as the sibling.
    """
    info = reward_info(score)
    extra = dict(sibling.extra_fields) | {"reward_extra_info": info}
    if versions is not None:
        extra |= {"min_global_steps": versions[0], "max_global_steps": versions[1]}
    num_tokens = len(completion.token_ids)
    # verl keeps the same columns for all rows of a batch. These log-probs are replaced by the
    # policy's own on q before anything reads them: see ``trainer``.
    logprobs = None if sibling.response_logprobs is None else [0.0] * num_tokens
    return AgentLoopOutput(
        prompt_ids=list(sibling.prompt_ids),
        response_ids=list(completion.token_ids),
        response_mask=[1] * num_tokens,
        response_logprobs=logprobs,
        multi_modal_data=sibling.multi_modal_data,
        mm_processor_kwargs=sibling.mm_processor_kwargs,
        mm_processor_output=sibling.mm_processor_output,
        reward_score=info["total"],
        num_turns=sibling.num_turns,
        metrics=sibling.metrics.model_copy(),
        extra_fields=extra,
    )
