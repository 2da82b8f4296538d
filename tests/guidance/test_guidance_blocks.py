"""Guidance as a whole: when it is active, and what its blocks look like from outside."""

from __future__ import annotations

from rephrase_rl.guidance.blocks import Guidance, StepContext
from rephrase_rl.guidance.gates import AlwaysGate
from rephrase_rl.guidance.slots import ReplaceWorst
from rephrase_rl.guidance.sources import RephraseSource
from rephrase_rl.guidance.training import ClippedRatio


def test_guidance_without_blocks_is_inactive() -> None:
    assert not Guidance().active
    assert not Guidance(gate=AlwaysGate()).active
    assert Guidance(gate=AlwaysGate(), source=RephraseSource(), slot=ReplaceWorst()).active


def test_injected_tokens_are_trained_like_rollouts_unless_a_rule_says_otherwise() -> None:
    rule = Guidance().train
    assert rule == ClippedRatio()
    assert not rule.has_own_loss
    assert not rule.weighs_tokens
    assert ClippedRatio(weight=0.5).weighs_tokens
    assert ClippedRatio(normalisation="separate").weighs_tokens


def test_a_run_without_history_has_an_empty_one() -> None:
    assert StepContext(0).history("anything") == ()
