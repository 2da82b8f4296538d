"""The clipped surrogate against closed forms, float64 loops and gradcheck."""

import pytest
import torch

from oracles import losses as oracle
from rephrase_rl.core.objectives import clipped_surrogate
from rephrase_rl.core.ratios import importance_ratio
from rephrase_rl.errors import ConfigError, ShapeError

RATIOS = [0.1, 0.7, 0.8, 0.95, 1.0, 1.05, 1.2, 1.28, 1.3, 2.0, 3.0, 5.0]
ADVANTAGES = [-2.5, -1.0, 0.0, 0.5, 2.4749]


def grid(dtype=torch.float64):
    ratio_BT = torch.tensor([RATIOS] * len(ADVANTAGES), dtype=dtype)
    return ratio_BT, torch.tensor(ADVANTAGES, dtype=dtype), torch.ones(ratio_BT.shape).bool()


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("low", "high"), [(0.2, 0.2), (0.2, 0.28), (1.0, 1e6)])
@pytest.mark.parametrize("dual", [None, 3.0])
def test_loss_agrees_with_loops(dtype, rtol, low, high, dual):
    if dual is not None and dual <= 1 + high:
        dual = 2 * (1 + high)
    ratio_BT, advantages_B, mask_BT = grid(dtype)
    found_BT = clipped_surrogate(
        ratio_BT, advantages_B, mask_BT, clip_low=low, clip_high=high, dual_clip=dual
    )
    expected = [
        [oracle.clipped_loss(r, a, low, high, dual) for r in row]
        for row, a in zip(ratio_BT.tolist(), advantages_B.tolist(), strict=True)
    ]
    torch.testing.assert_close(
        found_BT.double(), torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=1e-12
    )


def test_dual_clip_bounds_the_loss_of_bad_tokens_only():
    # At A = -1 and ratio 5 the surrogate is 5 (clipping never helps there), with dual clip 3 it is
    # 3. At A = +1 and ratio 5 it is -1.2 either way.
    ratio_BT = torch.tensor([[5.0], [5.0]])
    advantages_B = torch.tensor([-1.0, 1.0])
    mask_BT = torch.ones(2, 1).bool()
    assert clipped_surrogate(ratio_BT, advantages_B, mask_BT).flatten().tolist() == pytest.approx(
        [5.0, -1.2]
    )
    bounded_BT = clipped_surrogate(ratio_BT, advantages_B, mask_BT, dual_clip=3.0)
    assert bounded_BT.flatten().tolist() == pytest.approx([3.0, -1.2])


def test_gradient_at_ratio_one_is_minus_the_advantage():
    # d(-A exp(logp - old))/dlogp = -A at logp = old: the policy gradient, written for rewrites as
    # for own rollouts.
    logps_BT = torch.tensor([[-1.0, -2.0], [-0.5, -0.1]], requires_grad=True)
    advantages_B = torch.tensor([2.4749, -0.3536])
    mask_BT = torch.ones(2, 2).bool()
    ratio_BT = importance_ratio(logps_BT, logps_BT.detach(), mask_BT)
    loss_BT = clipped_surrogate(ratio_BT, advantages_B, mask_BT)
    (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), logps_BT)
    assert torch.equal(gradient_BT, -advantages_B.unsqueeze(1).expand(2, 2))


@pytest.mark.parametrize("dual", [None, 3.0])
def test_gradient_is_zero_exactly_in_the_clipped_zone(dual):
    ratio_BT, advantages_B, mask_BT = grid()
    ratio_BT.requires_grad_()
    loss_BT = clipped_surrogate(ratio_BT, advantages_B, mask_BT, dual_clip=dual)
    (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), ratio_BT)
    for row, advantage in zip(gradient_BT.tolist(), ADVANTAGES, strict=True):
        for gradient, ratio in zip(row, RATIOS, strict=True):
            if ratio in (0.8, 1.2, dual):
                continue  # at a corner any subgradient is right
            clipped = (advantage > 0 and ratio > 1.2) or (advantage < 0 and ratio < 0.8)
            clipped |= dual is not None and advantage < 0 and ratio > dual
            assert gradient == (0.0 if clipped else -advantage)


@pytest.mark.parametrize("dual", [None, 3.0])
def test_gradcheck(dual):
    # Kept away from the corners 0.8, 1.2 and 3, where finite differences mean nothing.
    inside = [x for x in RATIOS if x not in (0.8, 1.2, 3.0)]
    ratio_BT = torch.tensor([inside] * 5, dtype=torch.float64, requires_grad=True)
    advantages_B = torch.tensor(ADVANTAGES, dtype=torch.float64)
    mask_BT = torch.arange(len(inside)).remainder(4).ne(0).expand(5, -1)
    assert torch.autograd.gradcheck(
        lambda x: clipped_surrogate(x, advantages_B, mask_BT, dual_clip=dual), (ratio_BT,)
    )


@pytest.mark.parametrize("dual", [None, 3.0])
@pytest.mark.parametrize("held", [1.0, 0.1, float("nan"), float("inf")])
def test_masked_positions_have_no_loss_and_no_gradient(dual, held):
    ratio_BT = torch.tensor([[1.0, held], [held, 1.0]], requires_grad=True)
    mask_BT = torch.tensor([[1, 0], [0, 1]])
    loss_BT = clipped_surrogate(ratio_BT, torch.tensor([2.0, -2.0]), mask_BT, dual_clip=dual)
    assert loss_BT.tolist() == [[-2.0, 0.0], [0.0, 2.0]]
    (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), ratio_BT)
    assert gradient_BT.tolist() == [[-2.0, 0.0], [0.0, 2.0]]


def test_no_gradient_reaches_the_advantages():
    advantages_B = torch.tensor([1.0], requires_grad=True)
    ratio_BT = torch.ones(1, 2, requires_grad=True)
    loss_BT = clipped_surrogate(ratio_BT, advantages_B, torch.ones(1, 2).bool())
    loss_BT.sum().backward()
    assert advantages_B.grad is None


def test_bad_arguments_are_refused():
    ratio_BT, advantages_B, mask_BT = grid()
    with pytest.raises(ShapeError, match="advantages_B"):
        clipped_surrogate(ratio_BT, advantages_B.unsqueeze(1), mask_BT)
    with pytest.raises(ShapeError, match="advantages_B"):
        clipped_surrogate(ratio_BT, advantages_B.long(), mask_BT)
    with pytest.raises(ShapeError, match="ratio_BT"):
        clipped_surrogate(ratio_BT[:, :1], advantages_B, mask_BT)
    with pytest.raises(ConfigError, match="dual_clip"):
        clipped_surrogate(ratio_BT, advantages_B, mask_BT, dual_clip=1.2)
    clipped_surrogate(ratio_BT, advantages_B, mask_BT, dual_clip=1.25)
