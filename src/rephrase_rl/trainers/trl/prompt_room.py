"""A prompt of rewriting and the completion behind it stay within the policy's context.

What is sampled beyond it is noise, or is cut short by vLLM, and no error tells.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.memory import CachedSource, ReplaySource
from rephrase_rl.guidance.sources import ExpertPrefixSource, ExpertTextSource
from rephrase_rl.rollout.context_length import context_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trl import GRPOConfig

    from rephrase_rl.guidance.blocks import Guidance
    from rephrase_rl.trainers.trl.trainer import RePOTrainer

logger = logging.getLogger(__name__)

WITHOUT_PROMPT = (ExpertTextSource, ExpertPrefixSource, ReplaySource)
"""Sources that have no prompt but q."""


class PromptRoom(NamedTuple):
    """What is left of the context for a prompt."""

    context: int
    completion: int
    """Tokens of the longest completion."""

    @property
    def tokens(self) -> int:
        """Longest prompt behind which a whole completion fits."""
        return self.context - self.completion

    def limits(self, max_prompt_tokens: int) -> bool:
        """Whether it is less than a limit on prompts that takes no account of it."""
        return self.tokens < max_prompt_tokens

    @property
    def named(self) -> str:
        """What it is the room of."""
        return (
            f"the policy's context ({self.context}) less trainer.max_completion_length "
            f"({self.completion})"
        )

    def of(self, max_prompt_tokens: int) -> str:
        """What limits the prompts in the place of that limit, for a message."""
        return (
            f"the policy's context of {self.context} tokens less trainer.max_completion_length "
            f"({self.completion}) leaves {self.tokens} for P(q, k), fewer than max_prompt_tokens "
            f"({max_prompt_tokens})"
        )


def prompt_room(args: GRPOConfig, model_config: Any) -> PromptRoom | None:
    """The room of prompts; None where a limit is not known.

    Args:
        args: Of the trainer.
        model_config: Of the policy.
    """
    return room_by_fields(vars(args), model_config)


def room_by_fields(trainer: Mapping[str, Any], model_config: Any) -> PromptRoom | None:
    """The room of prompts under a trainer section; None where a limit is not known.

    Args:
        trainer: Its fields. ``vllm_max_model_length`` is the context where vLLM samples.
        model_config: Of the policy. None: not known.
    """
    context = trainer.get("vllm_max_model_length") if trainer.get("use_vllm") else None
    if not context and model_config is not None:
        context = context_of(model_config)
    completion = trainer.get("max_completion_length")
    if context is None or completion is None:
        return None
    return PromptRoom(context, completion)


def limit_within(max_prompt_tokens: int, room: PromptRoom | None) -> int:
    """The limit on P(q, k): ``max_prompt_tokens``, or the room where that is less.

    Raises:
        ConfigError: There is no room at all.
    """
    if room is None or not room.limits(max_prompt_tokens):
        return max_prompt_tokens
    if room.tokens < 1:
        raise ConfigError(
            f"trainer.max_completion_length is {room.completion} and the policy's context "
            f"{room.context} tokens, which leaves {room.tokens} for P(q, k); required: room for a "
            "prompt and a whole completion. Lower trainer.max_completion_length, or take a policy "
            "with a longer context"
        )
    return room.tokens


def within_room(guidance: Guidance, room: PromptRoom | None) -> Guidance:
    """Guidance whose limit on P(q, k) leaves room for a completion.

    Raises:
        ConfigError: There is no room at all.
    """
    source = guidance.source
    if isinstance(source, CachedSource):
        source = source.inner
    if not guidance.active or isinstance(source, WITHOUT_PROMPT):
        return guidance
    limit = limit_within(guidance.max_prompt_tokens, room)
    if limit == guidance.max_prompt_tokens:
        return guidance
    return dataclasses.replace(guidance, max_prompt_tokens=limit)


def leave_room(trainer: RePOTrainer) -> Guidance:
    """The trainer's guidance ``within_room``; says so where that limits it.

    Raises:
        ConfigError: There is no room at all.
    """
    room = prompt_room(trainer.args, trainer.model.config)
    fitted = within_room(trainer.guidance, room)
    if room is not None and fitted is not trainer.guidance:
        logger.warning(
            "%s; longer ones are not sampled from, and count as gate/over_length_fraction",
            room.of(trainer.guidance.max_prompt_tokens),
        )
    return fitted
