"""Train rules one by one: which tokens they weigh or take, and with which of core's formulae."""

from __future__ import annotations

import pytest
import torch

from oracles import injected as injected_oracle
from oracles import losses as oracle
from rephrase_rl.guidance.training import (
    ClippedRatio,
    ContextRatio,
    InjectedTokens,
    NegativeLogLikelihood,
    PhiWeightedNll,
    ShapedProbability,
    TrainRule,
)

ON_Q = [[-0.3, -1.2, -0.1], [-0.9, -0.4, -3.0]]
ON_CONTEXT = [[-0.5, -0.7, -1.1], [-0.2, -1.4, -0.3]]
MASK = [[1, 1, 1], [0, 1, 1]]
ADVANTAGES = [2.0, -0.5]


def double(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("rule", [TrainRule(), ClippedRatio(), ContextRatio()])
def test_rules_of_the_surrogate_have_no_loss_of_their_own(rule) -> None:
    assert rule.has_own_loss is False
    tokens = InjectedTokens(double(ON_Q), double(ADVANTAGES), torch.tensor(MASK).bool())
    with pytest.raises(NotImplementedError, match=type(rule).__name__):
        rule.token_losses(tokens)


def test_repo_weighs_every_token_alike() -> None:
    weights_BT = ClippedRatio().token_weights(
        double(ON_Q), double(ON_CONTEXT), torch.tensor(MASK).bool()
    )
    assert torch.equal(weights_BT, torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    "rule",
    [
        ContextRatio(),
        ContextRatio(cap=1.1),
        ContextRatio(level="sequence", cap=3.0),
        ContextRatio(level="sequence", cap=3.0, length_normalized=True),
    ],
)
def test_context_ratio_weighs_by_the_capped_ratio(rule) -> None:
    assert rule.weighs_tokens is True
    found_BT = rule.token_weights(double(ON_Q), double(ON_CONTEXT), torch.tensor(MASK).bool())
    expected = oracle.context_ratio(
        ON_Q, ON_CONTEXT, MASK, rule.level, rule.cap, rule.length_normalized
    )
    filled = [[1.0 if x is None else x for x in row] for row in expected]
    torch.testing.assert_close(found_BT, double(filled))


def test_defaults_are_the_documented_ones() -> None:
    assert ContextRatio() == ContextRatio(
        level="token", cap=2.0, length_normalized=False, weight=1.0, normalisation="joint"
    )
    assert ShapedProbability() == ShapedProbability(gamma=0.1)


@pytest.mark.parametrize(
    ("rule", "token"),
    [
        (ShapedProbability(), lambda logp, a: injected_oracle.shaped(logp, a, 0.1)[0]),
        (ShapedProbability(gamma=0.4), lambda logp, a: injected_oracle.shaped(logp, a, 0.4)[0]),
        (NegativeLogLikelihood(), lambda logp, a: injected_oracle.nll(logp)[0]),
        (PhiWeightedNll(), lambda logp, a: injected_oracle.phi_nll(logp)[0]),
    ],
)
def test_rules_with_a_loss_of_their_own(rule, token) -> None:
    assert rule.has_own_loss is True
    tokens = InjectedTokens(double(ON_Q), double(ADVANTAGES), torch.tensor(MASK).bool())
    expected = [
        [token(logp, a) if m else 0.0 for logp, m in zip(row, mask_row, strict=True)]
        for row, mask_row, a in zip(ON_Q, MASK, ADVANTAGES, strict=True)
    ]
    torch.testing.assert_close(rule.token_losses(tokens), double(expected))
