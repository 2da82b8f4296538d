"""Adapters (LoRA) in the place of training all weights, as a user's YAML file has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from rephrase_rl.config.base import ConfigModel, Many

Positive = Annotated[int, Field(gt=0)]
ModuleName = Annotated[str, Field(min_length=1)]

ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer but the output projection."""


class LoraConfig(ConfigModel):
    """Low-rank matrices beside the weights, by PEFT; the weights themselves stay as they are."""

    r: Positive = 16
    """Rank of the matrices."""
    alpha: Positive = 32
    """Their product is multiplied by alpha / r (with ``use_rslora`` by alpha / sqrt(r))."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the adapters' inputs that is set to 0 in training; above 0 it needs
    ``trainer.disable_dropout: false``."""
    target_modules: Annotated[Many[ModuleName], Field(min_length=1)] = (ALL_LINEAR,)
    """Layers that get adapters, by the ends of their names such as ``[q_proj, v_proj]``.
    all-linear: every linear layer but the output projection, of which TRL takes no adapter."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r), which keeps updates of high ranks from vanishing."""

    @field_validator("target_modules")
    @classmethod
    def _layers_that_can_be_trained(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "lm_head" in names:
            raise ValueError(
                "found lm_head; TRL computes log-probs from its weight alone, so an adapter on it "
                "would never be trained: leave it out"
            )
        if ALL_LINEAR in names and len(names) > 1:
            raise ValueError(f"found {ALL_LINEAR} beside other names; write either alone")
        return names

    @property
    def takes_all_linear(self) -> bool:
        """Whether every linear layer but the output projection has adapters."""
        return self.target_modules == (ALL_LINEAR,)
