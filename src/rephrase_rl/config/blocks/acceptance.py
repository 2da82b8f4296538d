"""Whether a candidate may enter."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from rephrase_rl.config.base import ConfigModel
from rephrase_rl.config.blocks.fields import Count, CustomBlock, ImportPath, Positive, Share


class RewardAboveReplacedRule(ConfigModel):
    """Its reward exceeds that of the rollout it replaces."""

    kind: Literal["reward_above_replaced"] = "reward_above_replaced"
    """Which rule."""


class FinishedRule(ConfigModel):
    """It ended by itself, not at the length limit."""

    kind: Literal["finished"] = "finished"
    """Which rule."""


class NoMetaTextRule(ConfigModel):
    """No phrase is left that betrays that a reference was shown."""

    kind: Literal["no_meta_text"] = "no_meta_text"
    """Which rule."""


class CorrectRule(ConfigModel):
    """Its correctness reaches the failure threshold."""

    kind: Literal["correct"] = "correct"
    """Which rule."""


class NotCopiedRule(ConfigModel):
    """It is not, for the most part, one passage of the expert solution."""

    kind: Literal["not_copied"] = "not_copied"
    """Which rule."""
    max_share: Share = 0.6
    """Largest share of the candidate that its longest passage in common with k may make up."""


class WithinLengthRule(ConfigModel):
    """Its length is within bounds."""

    kind: Literal["within_length"] = "within_length"
    """Which rule."""
    min_tokens: Count = 1
    """Fewest tokens, the end token included."""
    max_tokens: Positive | None = None
    """Most tokens. null: no limit but the trainer's."""
    max_ratio_to_expert: Annotated[float, Field(gt=0.0)] | None = None
    """Most characters, as a multiple of the expert solution's. null: no limit."""


class StepsValidRule(ConfigModel):
    """The steps that it writes down are right, as far as they can be checked."""

    kind: Literal["steps_valid"] = "steps_valid"
    """Which rule."""
    min_share: Share = 1.0
    """Smallest share of right steps among those that can be checked."""
    min_steps: Count = 0
    """Fewest steps that must be there to be checked. 0: a text without any is not refused."""
    check: ImportPath | None = None
    """Function (text, problem) -> StepValidity, by import path. null: the task kind's own: chains
    in the lab, arithmetic of the form ``a op b = c`` everywhere else."""


def _from_name(rule: object) -> object:
    """A rule's name alone stands for the rule with its default settings."""
    return {"kind": rule} if isinstance(rule, str) else rule


AcceptRule: TypeAlias = Annotated[
    RewardAboveReplacedRule
    | CorrectRule
    | FinishedRule
    | NoMetaTextRule
    | NotCopiedRule
    | WithinLengthRule
    | StepsValidRule
    | CustomBlock,
    Field(discriminator="kind"),
    BeforeValidator(_from_name),
]
"""A condition that a candidate has to meet; the name alone stands for its default settings."""
