"""How a candidate's tokens are trained."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from rephrase_rl.config.base import ConfigModel
from rephrase_rl.config.blocks.fields import CustomBlock


class TrainModel(ConfigModel):
    """What all train rules share."""

    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """Factor of the loss of injected tokens."""
    normalisation: Literal["joint", "separate"] = "joint"
    """joint: injected tokens are counted with the own ones. separate: own tokens are averaged over
    own, injected over injected tokens, so that few injected ones weigh as much as many own."""


class ClippedRatioTrain(TrainModel):
    """The candidate's tokens are trained like a rollout's: clipped ratio, conditioned on q."""

    kind: Literal["clipped_ratio"] = "clipped_ratio"
    """Which treatment. The clip range itself is TRL's ``trainer.epsilon``."""


class ContextRatioTrain(TrainModel):
    """The clipped surrogate, weighted by pi(o given q) / pi(o given q, k), capped."""

    kind: Literal["context_ratio"] = "context_ratio"
    """Which treatment."""
    level: Literal["token", "sequence"] = "token"
    """One weight for each token, or one for the whole candidate."""
    cap: Annotated[float, Field(gt=0.0)] = 2.0
    """Largest weight."""
    length_normalized: bool = False
    """For ``sequence``: geometric mean of the tokens' ratios instead of their product, which
    vanishes for long texts."""


class ShapedTrain(TrainModel):
    """LUFFY's policy shaping: -A p / (p + gamma), without clip."""

    kind: Literal["shaped"] = "shaped"
    """Which treatment."""
    gamma: Annotated[float, Field(gt=0.0)] = 0.1
    """Probability at which the gradient is largest."""


class NllTrain(TrainModel):
    """-log p, whatever the advantage: supervised fine-tuning on the candidate."""

    kind: Literal["nll"] = "nll"
    """Which treatment."""


class PhiNllTrain(TrainModel):
    """-p (1 - p) log p, the weight without gradient (CHORD)."""

    kind: Literal["phi_nll"] = "phi_nll"
    """Which treatment."""


class CustomTrain(TrainModel, CustomBlock):
    """A rule of the user's own: a function or a class that gives the loss of every token."""


Train: TypeAlias = Annotated[
    ClippedRatioTrain | ContextRatioTrain | ShapedTrain | NllTrain | PhiNllTrain | CustomTrain,
    Field(discriminator="kind"),
]
"""How a candidate's tokens are trained."""

OWN_LOSS_KINDS = ("shaped", "nll", "phi_nll")
"""Train rules that take the place of the clipped surrogate."""
