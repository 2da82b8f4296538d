"""Guidance as a whole: when it is active, and what its blocks look like from outside."""

from __future__ import annotations

import dataclasses

from rephrase_rl.guidance.blocks import Ask, Guidance, StepContext
from rephrase_rl.guidance.gates import AlwaysGate
from rephrase_rl.guidance.slots import ReplaceWorst
from rephrase_rl.guidance.sources import RephraseSource
from rephrase_rl.guidance.training import ClippedRatio


def test_guidance_without_blocks_is_inactive() -> None:
    whole = Guidance(gate=AlwaysGate(), source=RephraseSource(), slot=ReplaceWorst())
    assert whole.active
    assert not Guidance().active
    for block in ("gate", "source", "slot"):
        assert not dataclasses.replace(whole, **{block: None}).active


def test_defaults_are_the_documented_ones() -> None:
    """Those of design and docs/reproduction.md; a preset that says nothing trains with them."""
    assert Guidance() == Guidance(
        sampling="lazy",
        num_candidates=1,
        choice="first",
        max_prompt_tokens=2048,
        over_length="refuse",
        failure_reward_threshold=0.5,
        std_ddof=1,
        advantage_eps=1e-6,
        no_spread="keep",
        max_rounds=3,
        expert_logp_every=10,
    )
    assert StepContext(4) == StepContext(step=4, rank=0, seed=0)
    assert Ask(None) == Ask(None, prefix="", prefix_share=1.0)


def test_injected_tokens_are_trained_like_rollouts_unless_a_rule_says_otherwise() -> None:
    rule = Guidance().train
    assert rule == ClippedRatio()
    assert not rule.has_own_loss
    assert not rule.weighs_tokens
    assert ClippedRatio(weight=0.5).weighs_tokens
    assert ClippedRatio(normalisation="separate").weighs_tokens


def test_a_run_without_history_has_an_empty_one() -> None:
    assert StepContext(0).history("anything") == ()
