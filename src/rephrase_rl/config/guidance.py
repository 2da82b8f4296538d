"""The five blocks of guidance as validated data: gate, source, accept, slot, train.

A block is a model with a ``kind``; a block with several kinds is a union of such models. A new
member of a block is one new model here and one new class in ``rephrase_rl.guidance``. Defaults are
those of RePO (arXiv:2602.10819); where the paper is silent, the doc string says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from rephrase_rl.config.base import ConfigModel, Many

AcceptRule: TypeAlias = Literal["reward_above_replaced", "finished", "no_meta_text"]
"""Conditions that a candidate has to meet, all of those listed."""


class NeverGate(ConfigModel):
    """No group is touched: plain GRPO."""

    kind: Literal["never"] = "never"
    """Which gate."""


class AlwaysGate(ConfigModel):
    """Every group that has an expert solution gets a candidate, whatever its rewards."""

    kind: Literal["always"] = "always"
    """Which gate."""


class FailedShareGate(ConfigModel):
    """Opens where the failed share of a group reaches a limit (RePO's gamma >= rho)."""

    kind: Literal["failed_share"] = "failed_share"
    """Which gate."""
    gate_failure_fraction: Annotated[float, Field(ge=0.0)] = 1.0
    """Failed share, of the scored rollouts, from which on the gate opens; rho of the paper, which
    leaves its main value open and ablates 0.5 and 0.75. 1: only if all failed, where GRPO has no
    signal at all. 0: always open. Above 1: never."""


Gate: TypeAlias = Annotated[NeverGate | AlwaysGate | FailedShareGate, Field(discriminator="kind")]
"""When to intervene."""


class NoSource(ConfigModel):
    """Nothing is brought in; goes with the gate ``never``."""

    kind: Literal["none"] = "none"
    """Which source."""


class RephraseSource(ConfigModel):
    """The policy reads the expert solution and rewrites it in its own words."""

    kind: Literal["rephrase"] = "rephrase"
    """Which source."""
    temperature: Annotated[float, Field(ge=0.0)] | None = None
    """Sampling temperature of the rewrite. null: the rollouts' temperature. 0: greedy. Not stated
    in the paper; weak models rewrite better when cooler."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Nucleus of the rewrite's sampling. null: the rollouts' top_p."""
    max_prompt_tokens: Annotated[int, Field(gt=0)] = 2048
    """Longest rephrase prompt in tokens. A longer one is skipped and counted, never truncated."""
    sampling: Literal["lazy", "eager"] = "lazy"
    """lazy: rewrite only for open gates. eager: for every group before the gate is known, as the
    paper describes it: the same distribution for more tokens."""
    remove_meta_text: bool = True
    """Cut out phrases that betray that a reference was shown, as the paper does."""


Source: TypeAlias = Annotated[NoSource | RephraseSource, Field(discriminator="kind")]
"""What to bring in."""


class ReplaceWorstSlot(ConfigModel):
    """The candidate takes the place of the rollout of lowest reward, the first of equals."""

    kind: Literal["replace_worst"] = "replace_worst"
    """Which slot."""


Slot: TypeAlias = ReplaceWorstSlot
"""Where a candidate goes; becomes a union with its second member."""


class ClippedRatioTrain(ConfigModel):
    """The candidate's tokens are trained like a rollout's: clipped ratio, conditioned on q."""

    kind: Literal["clipped_ratio"] = "clipped_ratio"
    """Which treatment. The clip range itself is TRL's ``trainer.epsilon``."""


Train: TypeAlias = ClippedRatioTrain
"""How a candidate's tokens are trained; becomes a union with its second member."""


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
    accept: Many[AcceptRule] = ("reward_above_replaced", "finished", "no_meta_text")
    """Conditions on a candidate, all of which must hold. The paper does not say whether a rewrite
    has to be right; ``reward_above_replaced`` asks that it beats the rollout it replaces."""
    slot: Slot = ReplaceWorstSlot()
    """Where an accepted candidate goes."""
    train: Train = ClippedRatioTrain()
    """How its tokens are trained."""
    advantages: AdvantageConfig = AdvantageConfig()
    """How rewards become advantages, after injection."""

    @field_validator("accept")
    @classmethod
    def _rules_once(cls, accept: tuple[AcceptRule, ...]) -> tuple[AcceptRule, ...]:
        if len(set(accept)) < len(accept):
            raise ValueError("every rule at most once")
        return accept

    @model_validator(mode="after")
    def _open_gate_needs_source(self) -> Self:
        if self.source.kind == "none" and self.gate.kind != "never":
            raise ValueError(
                f"gate.kind {self.gate.kind!r} with source.kind 'none' opens gates for nothing; "
                "set source.kind to rephrase or gate.kind to never"
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
