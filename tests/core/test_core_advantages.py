"""Advantages against closed forms and exact fractions."""

import math

import pytest
import torch

from oracles import groups as oracle
from rephrase_rl.core.advantages import (
    group_advantages,
    has_spread,
    multi_reward_advantages,
)
from rephrase_rl.errors import ConfigError, ShapeError

NAN = float("nan")
MIXED = [[1.0, 0.0, 0.25, 0.0], [0.98, 0.98, 0.98, 0.98], [0.1, NAN, 0.7, 0.2], [NAN, NAN, 1, NAN]]


def none_for_nan(nested):
    if isinstance(nested, list):
        return [none_for_nan(item) for item in nested]
    return None if math.isnan(nested) else nested


@pytest.mark.parametrize("num_members", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("ddof", [0, 1])
def test_one_success_of_many_closed_form(num_members, ddof):
    """The typical group of RePO: all failed, one accepted rewrite.

    Mean 1/G. The squared deviations sum to (1 - 1/G)^2 + (G - 1)/G^2 = (G - 1)/G, so the sample
    std is 1/sqrt(G) and the population std sqrt(G - 1)/G. For G = 8: 2.4749 and 2.6458.
    """
    rewards_PG = torch.zeros(1, num_members, dtype=torch.float64)
    rewards_PG[0, 0] = 1.0
    found = group_advantages(rewards_PG, std_ddof=ddof, eps=0.0)[0].tolist()
    std = 1 / math.sqrt(num_members) if ddof == 1 else math.sqrt(num_members - 1) / num_members
    assert found[0] == pytest.approx((1 - 1 / num_members) / std, rel=1e-12)
    assert found[1:] == pytest.approx([-1 / num_members / std] * (num_members - 1), rel=1e-12)
    if num_members == 8:
        assert found[0] == pytest.approx({0: 2.6458, 1: 2.4749}[ddof], abs=5e-5)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("eps", [1e-6, 1e-4])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_advantages_agree_with_exact_fractions(scale, ddof, eps, dtype, rtol):
    rewards_PG = torch.tensor(MIXED, dtype=dtype)
    expected = oracle.advantages(none_for_nan(rewards_PG.tolist()), scale, ddof, eps)
    found_PG = group_advantages(rewards_PG, scale=scale, std_ddof=ddof, eps=eps)
    torch.testing.assert_close(
        found_PG.double(), torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=rtol
    )
    assert found_PG.dtype == dtype


def test_defaults_are_the_documented_ones():
    rewards_PG = torch.tensor([[1.0, 0.0, 0.0]])
    explicit_PG = group_advantages(rewards_PG, scale="group", std_ddof=1, eps=1e-6)
    assert torch.equal(group_advantages(rewards_PG), explicit_PG)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_equal_rewards_give_exactly_zero(scale):
    # 16 times 0.98 has a rounded mean and a rounded std above 0 in float32.
    rewards_PG = torch.tensor([[0.98] * 16, [1.0] + [0.0] * 15])
    found_PG = group_advantages(rewards_PG, scale=scale, eps=1e-12)
    assert found_PG[0].tolist() == [0.0] * 16
    assert (found_PG[1] != 0).all()


def test_groups_with_one_or_no_scored_rollout_get_zero():
    rewards_PG = torch.tensor([[NAN, 1.0, NAN], [NAN, NAN, NAN]])
    for scale in ("group", "batch", "none"):
        assert group_advantages(rewards_PG, scale=scale).tolist() == [[0.0] * 3] * 2


def test_a_single_member_has_no_advantage():
    assert group_advantages(torch.tensor([[1.0], [0.0]])).tolist() == [[0.0], [0.0]]


def test_no_gradient_flows_through_advantages():
    rewards_PG = torch.rand(2, 4, requires_grad=True)
    assert not group_advantages(rewards_PG).requires_grad
    for aggregation in ("sum_then_normalize", "normalize_then_sum"):
        weights_K = torch.ones(1, requires_grad=True)
        found_PG = multi_reward_advantages(
            rewards_PG[..., None], weights_K, aggregation=aggregation
        )
        assert not found_PG.requires_grad


def test_has_spread():
    rewards_PG = torch.tensor([[0.0, 1.0], [0.3, 0.3], [NAN, 1.0], [NAN, NAN]])
    assert has_spread(rewards_PG).tolist() == [True, False, False, False]


# Rewards of two functions: a constant column, a missing entry, an unscorable rollout, a dead group.
TWO_REWARDS = [
    [[1.0, 0.2], [0.0, 0.3], [0.0, NAN]],
    [[1.0, 0.5], [0.0, 0.5], [NAN, NAN]],
    [[0.98, 0.1], [0.98, 0.1], [0.98, 0.1]],
    [[NAN, 0.7], [0.0, 0.1], [NAN, NAN]],
]


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_sum_then_normalize_agrees_with_exact_fractions(scale, ddof, eps):
    weights = [1.0, 0.5]
    sums = oracle.summed_rewards(none_for_nan(TWO_REWARDS), weights)
    expected = oracle.advantages(sums, scale, ddof, eps)
    found_PG = multi_reward_advantages(
        torch.tensor(TWO_REWARDS, dtype=torch.float64),
        torch.tensor(weights),
        scale=scale,
        std_ddof=ddof,
        eps=eps,
    )
    torch.testing.assert_close(
        found_PG, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_normalize_then_sum_agrees_with_exact_fractions(ddof, eps):
    weights = [1.0, 0.5]
    expected = oracle.normalized_then_summed(none_for_nan(TWO_REWARDS), weights, ddof, eps)
    found_PG = multi_reward_advantages(
        torch.tensor(TWO_REWARDS, dtype=torch.float64),
        torch.tensor(weights),
        aggregation="normalize_then_sum",
        std_ddof=ddof,
        eps=eps,
    )
    torch.testing.assert_close(
        found_PG, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )
    assert found_PG[2].tolist() == [0.0, 0.0, 0.0]


def test_one_reward_of_weight_one_is_the_plain_case():
    rewards_PG = torch.tensor(MIXED)
    found_PG = multi_reward_advantages(rewards_PG[..., None], torch.ones(1))
    assert torch.equal(found_PG, group_advantages(rewards_PG))


@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_a_batch_without_signal_is_zero(aggregation):
    for value in (0.7, NAN):
        rewards_PGK = torch.full((2, 3, 2), value)
        found_PG = multi_reward_advantages(rewards_PGK, torch.ones(2), aggregation=aggregation)
        assert found_PG.tolist() == [[0.0] * 3] * 2
    only_one_scored = torch.full((1, 2, 1), NAN)
    only_one_scored[0, 0, 0] = 1.0
    found_PG = multi_reward_advantages(only_one_scored, torch.ones(1), aggregation=aggregation)
    assert found_PG.tolist() == [[0.0, 0.0]]


def test_bad_arguments_are_refused():
    rewards_PGK = torch.zeros(1, 2, 3)
    with pytest.raises(ShapeError, match="rewards_PG"):
        group_advantages(torch.zeros(4))
    with pytest.raises(ShapeError, match="rewards_PG"):
        group_advantages(torch.zeros(2, 2).long())
    for bad in (torch.zeros(4), torch.zeros(2, 2).long()):
        with pytest.raises(ShapeError, match="rewards_PG"):
            has_spread(bad)
    with pytest.raises(ConfigError, match="scale"):
        group_advantages(torch.zeros(2, 2), scale="std")
    with pytest.raises(ShapeError, match="weights_K"):
        multi_reward_advantages(rewards_PGK, torch.ones(2))
    with pytest.raises(ShapeError, match="rewards_PGK"):
        multi_reward_advantages(rewards_PGK[0], torch.ones(3))
    with pytest.raises(ShapeError, match="rewards_PGK: expected a floating dtype"):
        multi_reward_advantages(rewards_PGK.long(), torch.ones(3))
    with pytest.raises(ShapeError, match="weights_K: expected a floating dtype"):
        multi_reward_advantages(rewards_PGK, torch.ones(3).long())
    with pytest.raises(ConfigError, match="aggregation"):
        multi_reward_advantages(rewards_PGK, torch.ones(3), aggregation="sum")
    with pytest.raises(ConfigError, match="scale"):
        multi_reward_advantages(
            rewards_PGK, torch.ones(3), aggregation="normalize_then_sum", scale="none"
        )
