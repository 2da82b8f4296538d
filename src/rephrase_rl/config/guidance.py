"""A method as validated data: one member for each of the five blocks, and what goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from rephrase_rl.config.base import ConfigModel, Many
from rephrase_rl.config.blocks.acceptance import (
    AcceptRule,
    FinishedRule,
    NoMetaTextRule,
    RewardAboveReplacedRule,
)
from rephrase_rl.config.blocks.gates import FailedShareGate, Gate
from rephrase_rl.config.blocks.slots import STREAM_KINDS, ReplaceWorstSlot, Slot
from rephrase_rl.config.blocks.sources import RephraseSource, Source
from rephrase_rl.config.blocks.train import OWN_LOSS_KINDS, ClippedRatioTrain, Train


class AdvantageConfig(ConfigModel):
    """How rewards of the final group become advantages; the library's own, for every preset."""

    scale: Literal["group", "batch", "none"] = "group"
    """Divide the centred reward by the spread of the group (GRPO), of the batch, or not at all
    (Dr. GRPO, arXiv:2503.20783)."""
    std_ddof: Literal[0, 1] = 1
    """1: sample, 0: population standard deviation. TRL and verl use 1. With one success in a group
    of 8 the success gets 2.47 (1) or 2.65 (0)."""
    eps: Annotated[float, Field(ge=0.0)] = 1e-6
    """Added to the standard deviation, in units of the reward. verl: 1e-6, TRL: 1e-4."""


class NoSpreadConfig(ConfigModel):
    """What becomes of groups whose rewards are all equal, which have no gradient."""

    policy: Literal["keep", "drop", "resample"] = "keep"
    """keep: their tokens count in the mean of the loss. drop: they do not. resample: groups of
    further problems take their places (DAPO's dynamic sampling, arXiv:2503.14476, section 3.2);
    what is left after the last round is kept. Every sampled token counts in the budget."""
    max_rounds: Annotated[int, Field(gt=0)] = 3
    """Most rounds of resampling in one generation batch."""


class GuidanceConfig(ConfigModel):
    """A method in full: the five blocks, the failure threshold and the advantages."""

    correctness: str | None = None
    """Name of the verifier whose reward decides failure; required if there are several rewards.
    null: the only one."""
    failure_reward_threshold: float = 0.5
    """A rollout below it has failed; delta of the paper, which does not state it. Any value in
    (0, 1] is the same for rewards that are 0 or 1."""
    gate: Gate = FailedShareGate()
    """When to intervene."""
    source: Source = RephraseSource()
    """What to bring in."""
    accept: Many[AcceptRule] = (RewardAboveReplacedRule(), FinishedRule(), NoMetaTextRule())
    """Conditions on a candidate, all of which must hold. The paper does not say whether a rewrite
    has to be right; ``reward_above_replaced`` asks that it beats the rollout it replaces."""
    slot: Slot = ReplaceWorstSlot()
    """Where an accepted candidate goes."""
    train: Train = ClippedRatioTrain()
    """How its tokens are trained."""
    advantages: AdvantageConfig = AdvantageConfig()
    """How rewards become advantages, after injection."""
    no_spread: NoSpreadConfig = NoSpreadConfig()
    """What becomes of groups without spread, after injection."""
    expert_logp_every: Annotated[int, Field(ge=0)] = 10
    """Optimiser steps between measurements of the expert's own text under the policy, for
    comparison with what was injected. 0: never."""

    @field_validator("accept")
    @classmethod
    def _rules_once(cls, accept: tuple[AcceptRule, ...]) -> tuple[AcceptRule, ...]:
        shipped = [rule.kind for rule in accept if rule.kind != "custom"]
        if len(set(shipped)) < len(shipped):
            repeated = sorted({kind for kind in shipped if shipped.count(kind) > 1})
            raise ValueError(
                f"found {', '.join(repeated)} more than once; required: every rule at most once; "
                "do this: remove the repetition"
            )
        return accept

    @model_validator(mode="after")
    def _open_gate_needs_source(self) -> Self:
        if self.source.kind == "none" and self.gate.kind != "never":
            raise ValueError(
                f"gate.kind {self.gate.kind!r} with source.kind 'none' opens gates for nothing; "
                "set source.kind to rephrase or gate.kind to never"
            )
        return self

    @model_validator(mode="after")
    def _blocks_fit(self) -> Self:
        if self.slot.kind in (*STREAM_KINDS, "dataset") and self.train.kind not in (
            "nll",
            "phi_nll",
        ):
            raise ValueError(
                f"slot.kind {self.slot.kind!r} trains apart from any group, so its texts have no "
                f"advantage, and train.kind {self.train.kind!r} needs one; set train.kind to nll "
                "or phi_nll"
            )
        if self.slot.kind == "whole_group" and self.train.kind not in OWN_LOSS_KINDS[1:]:
            raise ValueError(
                "slot.kind 'whole_group' leaves a group of one, whose advantage is 0, and "
                f"train.kind {self.train.kind!r} needs one; set train.kind to nll or phi_nll"
            )
        if self.slot.kind == "dataset" and self.train.kind != "nll":
            raise ValueError(
                "slot.kind 'dataset' is trained by TRL's SFTTrainer, whose loss is the mean "
                f"negative log-likelihood; found train.kind {self.train.kind!r}: set it to nll"
            )
        if self.slot.kind == "dataset" and self.source.kind not in ("expert_text", "rephrase"):
            raise ValueError(
                f"slot.kind 'dataset' with source.kind {self.source.kind!r}, which needs rollouts "
                "and there are none; set source.kind to expert_text or rephrase"
            )
        if self.slot.kind in (*STREAM_KINDS, "dataset") and self.train.normalisation != "joint":
            raise ValueError(
                "train.normalisation 'separate' divides a batch of own and injected tokens, and "
                f"slot.kind {self.slot.kind!r} has a mean of its own anyway; set it to joint"
            )
        return self


def merge_blocks(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a partial mapping over a full one, block by block.

    Mappings are merged key by key; everything else, lists included, is replaced. A block whose
    ``kind`` changes is replaced as a whole, since the fields of the old kind mean nothing to the
    new one.

    Example:
        >>> merge_blocks({"gate": {"kind": "never"}, "eps": 1}, {"gate": {"kind": "always"}})
        {'gate': {'kind': 'always'}, 'eps': 1}
    """
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        if not isinstance(value, Mapping) or not isinstance(old, Mapping):
            merged[key] = value
        elif "kind" in value and value["kind"] != old.get("kind"):
            merged[key] = dict(value)
        else:
            merged[key] = merge_blocks(old, value)
    return merged
