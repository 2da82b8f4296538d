"""The tokens that a conversation becomes: one function for sampling and for looking at prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import PromptError

if TYPE_CHECKING:
    from rephrase_rl.records import JSON, Message


def prompt_token_ids(
    tokenizer: Any, prompt: Sequence[Message], chat_template_kwargs: Mapping[str, JSON]
) -> list[int]:
    """Token ids of a conversation in the tokenizer's chat template, the assistant's turn opened.

    Args:
        tokenizer: Of the policy; has a chat template.
        prompt: Turns.
        chat_template_kwargs: Variables for the template, such as ``{"enable_thinking": False}``.

    Raises:
        PromptError: The template fails.
    """
    try:
        encoded = tokenizer.apply_chat_template(
            [dict(message) for message in prompt],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            **chat_template_kwargs,
        )
    # A template is a program that comes with the model; it can break in any way.
    except Exception as error:
        raise PromptError(
            f"the tokenizer's chat template failed ({type(error).__name__}: {error}); required: "
            "one that takes these turns and variables; do this: check chat_template_kwargs and the "
            "roles, or set another template in the model's folder"
        ) from error
    return list(encoded["input_ids"])
