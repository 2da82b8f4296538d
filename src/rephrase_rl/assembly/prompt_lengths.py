"""Prompts that the policy's context has no room for are told of before a run.

Questions are refused; prompts of rewriting are left out by the step, and counted.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import solve_template
from rephrase_rl.errors import DataError, PromptError
from rephrase_rl.guidance.blocks import Ask, StepContext
from rephrase_rl.guidance.gate_by_dataset import never_guided
from rephrase_rl.guidance.memory import drafts_ahead
from rephrase_rl.prompts import render_prompt
from rephrase_rl.records import RolloutGroup
from rephrase_rl.rollout.prompt_ids import prompt_token_ids
from rephrase_rl.trainers.trl.prompt_room import limit_within, room_by_fields, within_room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rephrase_rl.config import GuidanceConfig, PromptsConfig, RunConfig
    from rephrase_rl.guidance.blocks import Guidance
    from rephrase_rl.records import Message, Problem
    from rephrase_rl.trainers.trl.prompt_room import PromptRoom

ENOUGH = 1000
"""Problems that are looked at where one of them fits: tokenizing every P(q, k) takes minutes."""


def refuse_long_questions(
    problems: Sequence[Problem],
    prompts: PromptsConfig,
    tokenizer: Any,
    room: PromptRoom | None,
    chat_template_kwargs: dict[str, object],
) -> None:
    """Refuse problems whose solve prompt fills the policy's context; warn where room is scarce.

    A token holds at least one byte, so only prompts with more bytes than room are tokenized. vLLM
    ends the run at the first prompt of as many tokens as it may take.

    Args:
        problems: Of the run.
        prompts: Names the templates.
        tokenizer: The policy's.
        room: Of prompts; None: not known, and nothing is checked.
        chat_template_kwargs: Passed to the chat template.

    Raises:
        DataError: With every such problem.
    """
    if room is None:
        return
    context = room.context
    faults, tight = [], 0
    for problem in problems:
        messages = render_prompt(problem, solve_template(problem, prompts))
        if _num_bytes(messages) <= room.tokens:
            continue
        count = len(prompt_token_ids(tokenizer, messages, chat_template_kwargs))
        if count >= context:
            faults.append(f"problem {problem.problem_id!r}: {count} tokens")
        tight += count > room.tokens
    if faults:
        raise DataError(
            f"{len(faults)} of {len(problems)} questions are longer than the policy's context of "
            f"{context} tokens (or trainer.vllm_max_model_length); required: room for a "
            "completion. Leave these problems out",
            faults,
        )
    if tight:
        warnings.warn(
            f"{tight} of {len(problems)} prompts and trainer.max_completion_length "
            f"({room.completion}) exceed the policy's context of {context} tokens together; "
            "what is written beyond it is of no use: lower trainer.max_completion_length",
            stacklevel=3,
        )


def fit_rewriting(
    problems: Sequence[Problem],
    guidance: Guidance,
    room: PromptRoom | None,
    tokenizer: Any,
    chat_template_kwargs: dict[str, object],
) -> Guidance:
    """Guidance whose limit on P(q, k) leaves room for a completion; warn if that leaves any out.

    Args:
        problems: Of the run.
        guidance: As configured.
        room: Of prompts.
        tokenizer: The policy's.
        chat_template_kwargs: Passed to the chat template.

    Raises:
        ConfigError: There is no room at all.
        DataError: No P(q, k) fits.
    """
    fitted = within_room(guidance, room)
    if fitted is guidance or room is None:
        return guidance
    limited_by = room.of(guidance.max_prompt_tokens)
    if not drafts_ahead(guidance.source):  # the prompts are not known yet
        warnings.warn(f"{limited_by}; longer ones are over_length", stacklevel=3)
        return fitted
    asked = over = 0
    for messages in filter(None, (_rewriting(problem, guidance) for problem in problems)):
        asked += 1
        if _num_bytes(messages) > room.tokens:
            count = len(prompt_token_ids(tokenizer, messages, chat_template_kwargs))
            over += count > room.tokens
        if asked >= ENOUGH and over < asked:
            break
    if asked and over == asked:
        raise _none_fits(room, asked)
    if over:
        warnings.warn(
            f"{limited_by}: {over} of {asked} P(q, k) looked at are longer, are not sampled from, "
            "and count as gate/over_length_fraction; lower trainer.max_completion_length or "
            "data.expert_tokens",
            stacklevel=3,
        )
    return fitted


def fit_rewriting_ahead(
    problems: Sequence[Problem],
    ask: Callable[[Problem], tuple[Message, ...] | None],
    max_prompt_tokens: int,
    room: PromptRoom | None,
    encode: Callable[[Sequence[Message]], Sequence[int]],
) -> int:
    """The limit on P(q, k) where all rewrites are made at once; warn if it leaves any out.

    Args:
        problems: Of the job, or of a run on rewrites.
        ask: P(q, k) of a problem; None where nothing is asked.
        max_prompt_tokens: As configured.
        room: Of prompts.
        encode: Tokens of a prompt.

    Raises:
        ConfigError: There is no room at all.
        DataError: No P(q, k) fits.
    """
    limit = limit_within(max_prompt_tokens, room)
    asked = [prompt for prompt in map(ask, problems) if prompt is not None]
    over = sum(len(encode(prompt)) > limit for prompt in asked)
    if not over:
        return limit
    scarce = room if limit < max_prompt_tokens else None
    if over == len(asked):
        if scarce is not None:
            raise _none_fits(scarce, over)
        raise DataError(
            f"guidance.source.max_prompt_tokens is {limit}, and none of {over} P(q, k) is that "
            "short, so nothing would be rewritten; do this: raise it, or set a lower "
            "data.expert_tokens"
        )
    limited_by = f"guidance.source.max_prompt_tokens is {limit}"
    advice = "raise it, or set a lower data.expert_tokens"
    if scarce is not None:
        limited_by = scarce.of(max_prompt_tokens)
        advice = "lower trainer.max_completion_length or data.expert_tokens"
    warnings.warn(
        f"{limited_by}: {over} of {len(asked)} P(q, k) are longer, are not sampled from, and count "
        f"as over_length; {advice}",
        stacklevel=3,
    )
    return limit


def rewriting_room(
    config: RunConfig, guidance: GuidanceConfig, model_config: Any
) -> PromptRoom | None:
    """Room of P(q, k) by a run's configuration alone; None where a limit is not known.

    Args:
        config: Resolved.
        guidance: Its blocks. Texts of a data set are rewritten in this process, not by vLLM.
        model_config: Of the policy. None: not known.
    """
    here = {"use_vllm": False} if guidance.slot.kind == "dataset" else {}
    return room_by_fields({**config.trainer, **here}, model_config)


def _none_fits(room: PromptRoom, asked: int) -> DataError:
    return DataError(
        f"the policy's context of {room.context} tokens less trainer.max_completion_length "
        f"({room.completion}) leaves {room.tokens} for P(q, k), and none of {asked} fits, so "
        "nothing would be rewritten; lower trainer.max_completion_length or data.expert_tokens"
    )


def _rewriting(problem: Problem, guidance: Guidance) -> tuple[Message, ...] | None:
    """P(q, k) of a problem; None where nothing would be asked."""
    if guidance.source is None or never_guided(guidance.gate, problem):
        return None
    try:
        draft = guidance.source.draft(RolloutGroup(problem, ()), StepContext(0))
    except PromptError:  # told where the prompt is wanted
        return None
    return draft.messages if isinstance(draft, Ask) else None


def _num_bytes(messages: Sequence[Message]) -> int:
    """A bound of the tokens, those of the chat template aside."""
    return sum(len(message["content"].encode("utf-8", "replace")) for message in messages)
