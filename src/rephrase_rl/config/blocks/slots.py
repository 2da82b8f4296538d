"""Where a candidate goes."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from rephrase_rl.config.base import ConfigModel
from rephrase_rl.config.blocks.fields import CustomBlock, Positive, Share


class ReplaceWorstSlot(ConfigModel):
    """The candidate takes the place of the rollout of lowest reward, the first of equals."""

    kind: Literal["replace_worst"] = "replace_worst"
    """Which slot."""


class ReplaceRandomFailureSlot(ConfigModel):
    """The candidate takes the place of one of the failed rollouts, drawn at random."""

    kind: Literal["replace_random_failure"] = "replace_random_failure"
    """Which slot."""


class ReservedSlot(ConfigModel):
    """The last of the G places, fixed before any reward is seen: LUFFY's 7 + 1."""

    kind: Literal["reserved"] = "reserved"
    """Which slot."""


class AppendSlot(ConfigModel):
    """One reserved place more than ``trainer.num_generations`` says.

    Becomes ``reserved`` with ``num_generations`` + 1 when the configuration is resolved.
    """

    kind: Literal["append"] = "append"
    """Which slot."""


class WholeGroupSlot(ConfigModel):
    """The candidate is all of its group that is trained on (HPT, arXiv:2509.04419)."""

    kind: Literal["whole_group"] = "whole_group"
    """Which slot."""


class StreamBufferSlot(ConfigModel):
    """Separate supervised steps when enough candidates have gathered (ReLIFT, arXiv:2506.07527)."""

    kind: Literal["stream_buffer"] = "stream_buffer"
    """Which slot."""
    size: Positive = 128
    """Candidates, over all processes, that make up one supervised step."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-6
    """Rate of the stream's own optimiser (AdamW with the trainer's betas and no weight decay)."""


class StreamJointSlot(ConfigModel):
    """A supervised loss beside the RL loss: (1 - mu) RL + mu supervised.

    mu goes from peak to valley on half a cosine (CHORD, arXiv:2508.11408).
    """

    kind: Literal["stream_joint"] = "stream_joint"
    """Which slot."""
    peak: Share = 0.9
    """mu at the first step."""
    valley: Share = 0.05
    """mu after ``decay_steps`` steps, and from then on."""
    decay_steps: Positive = 200
    """Optimiser steps from peak to valley."""


class DatasetSlot(ConfigModel):
    """All texts form a data set for supervised fine-tuning; nothing is sampled in training."""

    kind: Literal["dataset"] = "dataset"
    """Which slot."""
    fallback: Literal["expert", "skip"] = "expert"
    """For a problem of which no rewrite was accepted: the expert's own text, as SDFT has it, or
    nothing."""


Slot: TypeAlias = Annotated[
    ReplaceWorstSlot
    | ReplaceRandomFailureSlot
    | ReservedSlot
    | AppendSlot
    | WholeGroupSlot
    | StreamBufferSlot
    | StreamJointSlot
    | DatasetSlot
    | CustomBlock,
    Field(discriminator="kind"),
]
"""Where a candidate goes."""

STREAM_KINDS = ("stream_buffer", "stream_joint")
"""Slots outside the group."""
