"""What to bring in."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from rephrase_rl.config.base import ConfigModel
from rephrase_rl.config.blocks.fields import Count, CustomBlock, Positive, Share, required_together


class NoSource(ConfigModel):
    """Nothing is brought in; goes with the gate ``never``."""

    kind: Literal["none"] = "none"
    """Which source."""


class SampledSource(ConfigModel):
    """What all sources share that sample their candidates."""

    temperature: Annotated[float, Field(ge=0.0)] | None = None
    """Sampling temperature of candidates. null: the rollouts' temperature. 0: greedy. Not stated
    in the paper; weak models rewrite better when cooler."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Nucleus of the candidates' sampling. null: the rollouts' top_p."""
    max_prompt_tokens: Positive = 2048
    """Longest prompt P(q, k) in tokens. A longer one is skipped and counted, never truncated. The
    limit is lower where a whole completion behind it would not fit into the policy's context."""
    sampling: Literal["lazy", "eager", "anticipated"] = "lazy"
    """lazy: sample only for open gates. eager: for every group before the gate is known, as the
    paper describes it: the same distribution for more tokens. anticipated: as lazy, but together
    with the rollouts where the problem's last visit (or, before the first, a column ``pass_rate``)
    predicts an open gate; a rewrite that was not needed is dropped, and its tokens are counted."""
    num_candidates: Positive = 1
    """Candidates sampled for each group; the paper has one."""
    choice: Literal["first", "most_likely", "shortest"] = "first"
    """Which of several acceptable candidates enters. most_likely: highest mean log-prob per token
    given q alone."""
    cache_steps: Count = 0
    """Optimiser steps for which an accepted candidate is offered again instead of sampling a new
    one. 0: never. Each process has those of the groups that it held."""


class RephraseSource(SampledSource):
    """The policy reads the expert solution and rewrites it in its own words."""

    kind: Literal["rephrase"] = "rephrase"
    """Which source."""
    remove_meta_text: bool = True
    """Cut out phrases that betray that a reference was shown, as the paper does."""


class ExpertPrefixSource(SampledSource):
    """The expert's text up to a point, continued by the policy (Prefix-RFT, arXiv:2507.01679)."""

    kind: Literal["expert_prefix"] = "expert_prefix"
    """Which source."""
    share: Share = 0.5
    """Share of the expert's tokens that is given."""
    end_share: Share | None = None
    """Share after ``over_steps`` steps, reached on a straight line. null: constant."""
    over_steps: Positive | None = None
    """Optimiser steps from share to end_share; required with ``end_share``."""

    @model_validator(mode="after")
    def _end_has_a_length(self) -> Self:
        required_together(self, "end_share", "over_steps")
        return self


class RationaleSource(SampledSource):
    """The policy is told the answer alone and writes the way to it (STaR, arXiv:2203.14465)."""

    kind: Literal["rationale"] = "rationale"
    """Which source."""
    remove_meta_text: bool = True
    """Cut out phrases that betray that the answer was shown."""


class RefinementSource(SampledSource):
    """The policy mends its own worst attempt (Critique-GRPO, arXiv:2506.03106)."""

    kind: Literal["refinement"] = "refinement"
    """Which source."""
    show_expert: bool = True
    """Show the expert solution beside the attempt."""
    remove_meta_text: bool = True
    """Cut out phrases that betray that an attempt or a reference was shown."""


class ExpertTextSource(ConfigModel):
    """The expert's own text, tokenised by the policy's tokenizer, with an end token."""

    kind: Literal["expert_text"] = "expert_text"
    """Which source."""
    over_length: Literal["refuse", "truncate"] = "refuse"
    """A text longer than ``trainer.max_completion_length``: refused and counted, or cut there, as
    LUFFY's code does, whose verifier then sees an unfinished text."""


class ReplaySource(ConfigModel):
    """An earlier success of the policy on the same problem."""

    kind: Literal["replay"] = "replay"
    """Which source."""
    capacity: Count = 8
    """Successes kept for each problem, the newest. 0: none, which is plain GRPO."""


Source: TypeAlias = Annotated[
    NoSource
    | RephraseSource
    | ExpertTextSource
    | ExpertPrefixSource
    | RationaleSource
    | RefinementSource
    | ReplaySource
    | CustomBlock,
    Field(discriminator="kind"),
]
"""What to bring in."""
