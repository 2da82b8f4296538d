"""Figures for records, by hand and against loops."""

import pytest
import torch

from oracles import losses as oracle
from rephrase_rl.core.diagnostics import (
    all_failed_fraction,
    all_passed_fraction,
    clip_fractions,
    context_ratio_quantiles,
    mean_logp,
    rescued,
)
from rephrase_rl.errors import ShapeError

NAN = float("nan")


def test_all_failed_and_all_passed_are_told_apart():
    rewards_PG = torch.tensor(
        [[0.0, 0.0], [0.0, NAN], [1.0, 1.0], [0.0, 1.0], [NAN, NAN]]  # the last one says nothing
    )
    assert all_failed_fraction(rewards_PG).item() == 2 / 4
    assert all_passed_fraction(rewards_PG).item() == 1 / 4


def test_threshold_decides_what_failed():
    rewards_PG = torch.tensor([[0.6, 0.6]])
    assert all_failed_fraction(rewards_PG, failure_reward_threshold=0.7).item() == 1
    assert all_passed_fraction(rewards_PG, failure_reward_threshold=0.7).item() == 0
    assert all_passed_fraction(rewards_PG).item() == 1


def test_nothing_scored_is_nan_and_not_zero():
    rewards_PG = torch.full((2, 3), NAN)
    assert all_failed_fraction(rewards_PG).isnan()
    assert all_passed_fraction(rewards_PG).isnan()


def test_rescued_means_from_no_spread_to_some():
    before_PG = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [NAN, NAN]])
    after_PG = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, NAN]])
    assert rescued(before_PG, after_PG).tolist() == [True, False, False, False]
    with pytest.raises(ShapeError, match="rewards_after_PG"):
        rescued(before_PG, after_PG[:2])
    with pytest.raises(ShapeError, match="rewards_PG"):
        rescued(torch.zeros(4), after_PG)


def test_mean_logp_counts_tokens_under_the_mask_only():
    logps_BT = torch.tensor([[-1.0, -2.0, NAN], [-3.0, -5.0, -7.0], [-1.0, -1.0, -1.0]])
    mask_BT = torch.tensor([[1, 1, 0], [1, 0, 1], [0, 0, 0]])
    found_B = mean_logp(logps_BT.requires_grad_(), mask_BT)
    assert found_B[:2].tolist() == [-1.5, -5.0]
    assert found_B[2].isnan()
    assert not found_B.requires_grad


def test_clip_fractions_agree_with_loops():
    ratio_BT = torch.tensor([[0.5, 0.7, 0.9, 1.5, 1.1]] * 3, dtype=torch.float64)
    advantages_B = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    mask_BT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 1, 1, 1]])
    found = clip_fractions(ratio_BT, advantages_B, mask_BT, clip_low=0.2, clip_high=0.28)
    expected = oracle.clip_fractions(
        ratio_BT.tolist(), advantages_B.tolist(), mask_BT.tolist(), 0.2, 0.28
    )
    assert (found.low.item(), found.high.item()) == pytest.approx(expected)
    # By hand: 2 tokens of the first row are below 0.8, 1 of the last is above 1.28, of 10 in all.
    assert expected == (0.2, 0.1)


def test_a_ratio_at_its_bound_is_not_clipped():
    # 0.5 and 1.5 are the bounds themselves, where the surrogate still has a gradient.
    ratio_BT, mask_BT = torch.tensor([[0.5], [1.5]]), torch.ones(2, 1).bool()
    found = clip_fractions(
        ratio_BT, torch.tensor([-1.0, 1.0]), mask_BT, clip_low=0.5, clip_high=0.5
    )
    assert found == (0, 0)


def test_defaults_are_the_documented_ones():
    values_BT, mask_BT = torch.linspace(0.5, 1.5, 202).view(2, 101), torch.ones(2, 101).bool()
    advantages_B = torch.tensor([-1.0, 1.0])
    explicit = clip_fractions(values_BT, advantages_B, mask_BT, clip_low=0.2, clip_high=0.2)
    assert clip_fractions(values_BT, advantages_B, mask_BT) == explicit
    quantiles_Q = context_ratio_quantiles(values_BT, mask_BT, quantiles=(0.05, 0.5, 0.95))
    assert torch.equal(context_ratio_quantiles(values_BT, mask_BT), quantiles_Q)


def test_bad_arguments_are_refused():
    values_BT, mask_BT = torch.ones(2, 3), torch.ones(2, 3).bool()
    for wrong_BT in (torch.ones(2, 1), values_BT.long()):
        with pytest.raises(ShapeError, match="logps_BT"):
            mean_logp(wrong_BT, mask_BT)
        with pytest.raises(ShapeError, match="context_ratio_BT"):
            context_ratio_quantiles(wrong_BT, mask_BT)
        with pytest.raises(ShapeError, match="ratio_BT"):
            clip_fractions(wrong_BT, torch.ones(2), mask_BT)
    for wrong_B in (torch.ones(1), torch.ones(2).long()):
        with pytest.raises(ShapeError, match="advantages_B"):
            clip_fractions(values_BT, wrong_B, mask_BT)


def test_clip_fractions_without_tokens_are_nan():
    found = clip_fractions(torch.ones(1, 2), torch.ones(1), torch.zeros(1, 2).bool())
    assert found.low.isnan()
    assert found.high.isnan()


@pytest.mark.parametrize("num_values", [1, 2, 5, 8])
def test_quantiles_agree_with_loops_and_with_torch(num_values):
    generator = torch.Generator().manual_seed(num_values)
    ratio_BT = torch.rand(1, num_values, generator=generator, dtype=torch.float64)
    mask_BT = torch.ones(1, num_values).bool()
    quantiles = (0.0, 0.05, 0.3, 0.5, 0.95, 1.0)
    found_Q = context_ratio_quantiles(ratio_BT, mask_BT, quantiles=quantiles)
    expected = [oracle.quantile(ratio_BT[0].tolist(), q) for q in quantiles]
    assert found_Q.tolist() == pytest.approx(expected, rel=1e-12)
    foreign_Q = torch.quantile(ratio_BT[0], torch.tensor(quantiles, dtype=torch.float64))
    torch.testing.assert_close(found_Q, foreign_Q)


def test_quantiles_of_a_whole_batch_are_placed_to_the_digit():
    # 5 % of the way from a 0 to a 1; position 94,999.05 in float32 is off by 0.003.
    ratio_BT = (torch.arange(100_000) > 94_999).float().unsqueeze(0).requires_grad_()
    found_Q = context_ratio_quantiles(ratio_BT, torch.ones(1, 100_000).bool(), quantiles=(0.95,))
    assert found_Q.tolist() == pytest.approx([0.05], abs=1e-5)
    assert not found_Q.requires_grad


def test_quantiles_ignore_what_is_masked_and_say_nan_for_nothing():
    ratio_BT = torch.tensor([[0.1, NAN, 0.3]], dtype=torch.bfloat16)
    found_Q = context_ratio_quantiles(ratio_BT, torch.tensor([[1, 0, 1]]), quantiles=(0.5,))
    assert found_Q.dtype == torch.float32
    assert found_Q.item() == pytest.approx(0.2, rel=1e-2)
    assert context_ratio_quantiles(ratio_BT, torch.zeros(1, 3).bool()).isnan().tolist() == [
        True,
        True,
        True,
    ]
