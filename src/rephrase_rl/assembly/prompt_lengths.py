"""Questions longer than the policy's context are refused before they stop or slow down a run."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import solve_template
from rephrase_rl.errors import DataError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rollout.prompt_ids import prompt_token_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import PromptsConfig
    from rephrase_rl.records import Problem


def context_of(model_config: Any) -> int | None:
    """Tokens of a model's context, by its ``config.json``; None where it does not say."""
    context: int | None = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    return context


def refuse_long_questions(
    problems: Sequence[Problem],
    prompts: PromptsConfig,
    tokenizer: Any,
    context: int | None,
    max_completion_tokens: int,
    chat_template_kwargs: dict[str, object],
) -> None:
    """Refuse problems whose solve prompt fills the policy's context; warn where room is scarce.

    A token holds at least one byte, so only prompts with more bytes than room are tokenized.

    Args:
        problems: Of the run.
        prompts: Names the templates.
        tokenizer: The policy's.
        context: Of the policy, in tokens; None: not known, and nothing is checked.
        max_completion_tokens: Longest completion.
        chat_template_kwargs: Passed to the chat template.

    Raises:
        DataError: With every such problem.
    """
    if context is None:
        return
    room = context - max_completion_tokens
    faults, tight = [], 0
    for problem in problems:
        messages = render_prompt(problem, solve_template(problem, prompts))
        if sum(len(m["content"].encode("utf-8", "replace")) for m in messages) <= room:
            continue
        count = len(prompt_token_ids(tokenizer, messages, chat_template_kwargs))
        if count >= context:
            faults.append(f"problem {problem.problem_id!r}: {count} tokens")
        tight += count > room
    if faults:
        raise DataError(
            f"{len(faults)} of {len(problems)} questions are longer than the policy's context of "
            f"{context} tokens; required: room for a completion. Leave these problems out",
            faults,
        )
    if tight:
        warnings.warn(
            f"{tight} of {len(problems)} prompts and trainer.max_completion_length "
            f"({max_completion_tokens}) exceed the policy's context of {context} tokens together; "
            "what is written beyond it is of no use: lower trainer.max_completion_length",
            stacklevel=3,
        )
