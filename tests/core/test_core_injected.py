"""Losses of injected tokens: values, gradients, extremes, and TRL's loss by the same gradient."""

import pytest
import torch

from oracles import injected as oracle
from rephrase_rl.core.injected import (
    nll_loss,
    normalisation_scales,
    phi_weighted_nll_loss,
    shaped_loss,
)
from rephrase_rl.core.reduction import reduce_loss
from rephrase_rl.errors import ConfigError, ShapeError

LOGPS = [-0.001, -0.1, -0.7, -1.6, -2.302585, -5.0, -12.0]
ADVANTAGES = [2.4749, 0.5, 0.0, -0.3536]
GAMMAS = [0.1, 0.3, 0.5]


def grid(dtype=torch.float64):
    logps_BT = torch.tensor([LOGPS] * len(ADVANTAGES), dtype=dtype, requires_grad=True)
    mask_BT = torch.ones(logps_BT.shape).bool()
    return logps_BT, torch.tensor(ADVANTAGES, dtype=dtype), mask_BT


def losses(logps_BT, advantages_B, mask_BT):
    yield from (
        (shaped_loss(logps_BT, advantages_B, mask_BT, gamma=gamma), shaped_oracle(gamma))
        for gamma in GAMMAS
    )
    yield nll_loss(logps_BT, mask_BT), lambda logp, advantage: oracle.nll(logp)
    yield phi_weighted_nll_loss(logps_BT, mask_BT), lambda logp, advantage: oracle.phi_nll(logp)


def shaped_oracle(gamma):
    return lambda logp, advantage: oracle.shaped(logp, advantage, gamma)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
def test_values_and_gradients_agree_with_the_formulae(dtype, rtol):
    logps_BT, advantages_B, mask_BT = grid(dtype)
    for loss_BT, token in losses(logps_BT, advantages_B, mask_BT):
        (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), logps_BT, retain_graph=True)
        expected = torch.tensor(
            [[token(logp, a) for logp in LOGPS] for a in ADVANTAGES], dtype=torch.float64
        )
        found = torch.stack([loss_BT, gradient_BT], dim=-1).double()
        torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradcheck_of_the_shaped_probability(gamma):
    logps_BT, advantages_B, mask_BT = grid()
    assert torch.autograd.gradcheck(
        lambda logps: shaped_loss(logps, advantages_B, mask_BT, gamma=gamma), logps_BT
    )


def test_gradcheck_of_the_likelihood():
    logps_BT, _, mask_BT = grid()
    assert torch.autograd.gradcheck(lambda logps: nll_loss(logps, mask_BT), logps_BT)


def test_gradcheck_of_phi_with_its_weight_held_still():
    # Through the weight no gradient may flow; with the weight as a constant gradcheck agrees.
    logps_BT, _, mask_BT = grid()
    p_BT = logps_BT.detach().exp()
    held = lambda logps: -(p_BT * (1 - p_BT)) * logps  # noqa: E731
    assert torch.autograd.gradcheck(held, logps_BT)
    (expected,) = torch.autograd.grad(held(logps_BT).sum(), logps_BT)
    (found,) = torch.autograd.grad(phi_weighted_nll_loss(logps_BT, mask_BT).sum(), logps_BT)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradient_of_the_shaped_probability_is_largest_at_gamma(gamma):
    probabilities = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    logps_BT = probabilities.log().unsqueeze(0).requires_grad_()
    mask_BT = torch.ones(logps_BT.shape).bool()
    loss_BT = shaped_loss(logps_BT, torch.ones(1).double(), mask_BT, gamma=gamma)
    (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), logps_BT)
    assert probabilities[gradient_BT[0].argmin()].item() == pytest.approx(gamma, abs=1e-9)


def test_impossible_and_certain_tokens_stay_finite():
    logps_BT = torch.tensor([[-1e4, -100.0, 0.0]], requires_grad=True)
    mask_BT = torch.ones(1, 3).bool()
    for loss_BT, _ in losses(logps_BT, torch.ones(1), mask_BT):
        (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), logps_BT, retain_graph=True)
        assert loss_BT.isfinite().all()
        assert gradient_BT.isfinite().all()


def test_what_is_masked_reaches_neither_value_nor_gradient():
    logps_BT = torch.tensor([[-1.0, float("nan"), -torch.inf]], requires_grad=True)
    mask_BT = torch.tensor([[1, 0, 0]])
    for loss_BT, _ in losses(logps_BT, torch.ones(1), mask_BT):
        (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), logps_BT, retain_graph=True)
        assert loss_BT[0, 1:].tolist() == [0.0, 0.0]
        assert gradient_BT[0, 1:].tolist() == [0.0, 0.0]
        assert loss_BT[0, 0] != 0


def test_no_gradient_flows_through_advantages():
    logps_BT, advantages_B, mask_BT = grid()
    advantages_B.requires_grad_()
    loss_BT = shaped_loss(logps_BT, advantages_B, mask_BT, gamma=0.1)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(loss_BT.sum(), advantages_B)


@pytest.mark.parametrize("gamma", [0.0, -0.1, float("nan")])
def test_gamma_must_be_positive(gamma):
    logps_BT, advantages_B, mask_BT = grid()
    with pytest.raises(ConfigError, match="gamma"):
        shaped_loss(logps_BT, advantages_B, mask_BT, gamma=gamma)


def test_shapes_are_checked():
    logps_BT, _, mask_BT = grid()
    with pytest.raises(ShapeError, match="advantages_B"):
        shaped_loss(logps_BT, torch.ones(2), mask_BT, gamma=0.1)
    with pytest.raises(ShapeError, match="advantages_B"):
        shaped_loss(logps_BT, torch.ones(4, dtype=torch.long), mask_BT, gamma=0.1)
    with pytest.raises(ShapeError, match="logps_BT"):
        shaped_loss(logps_BT, torch.ones(4), mask_BT[:, :2], gamma=0.1)
    for loss in (nll_loss, phi_weighted_nll_loss):
        with pytest.raises(ShapeError, match="logps_BT"):
            loss(logps_BT, mask_BT[:, :2])


@pytest.mark.parametrize(("own", "injected"), [([1.0, 2.0, 6.0], [10.0]), ([1.0], []), ([], [4.0])])
def test_separate_normalisation_is_two_means(own, injected):
    scales = normalisation_scales(len(own), len(injected), normalisation="separate")
    total = len(own) + len(injected)
    found = (scales.own * sum(own) + scales.injected * sum(injected)) / total
    assert found == pytest.approx(oracle.two_means(own, injected))


def test_separate_normalisation_over_rows_divides_by_all_of_them():
    # Four rows: one own, one injected, and two that are masked.
    scales = normalisation_scales(1, 1, normalisation="separate", num_all=4)
    assert scales == (4.0, 4.0)


@pytest.mark.parametrize("num_all", [None, 3])
def test_a_kind_without_tokens_has_the_factor_one(num_all):
    none_injected = normalisation_scales(3, 0, normalisation="separate", num_all=num_all)
    none_own = normalisation_scales(0, 3, normalisation="separate", num_all=num_all)
    nothing = normalisation_scales(0, 0, normalisation="separate", num_all=num_all)
    assert none_injected == none_own == nothing == (1.0, 1.0)


def test_joint_normalisation_changes_nothing_and_others_are_unknown():
    assert normalisation_scales(3, 1, normalisation="joint") == (1.0, 1.0)
    with pytest.raises(ConfigError, match="both"):
        normalisation_scales(3, 1, normalisation="both")


@pytest.mark.parametrize("gamma", GAMMAS)
def test_shaped_gradient_is_that_of_a_ratio_with_reweighted_advantages(gamma):
    """The form in which a trainer with ratios only would have it: equal gradient, other value."""
    logps_BT, advantages_B, mask_BT = grid()
    loss = reduce_loss(shaped_loss(logps_BT, advantages_B, mask_BT, gamma=gamma), mask_BT)
    (found_BT,) = torch.autograd.grad(loss, logps_BT)
    p_BT = logps_BT.detach().exp()
    weighted_BT = advantages_B.unsqueeze(1) * gamma * p_BT / (p_BT + gamma) ** 2
    ratio_BT = (logps_BT - logps_BT.detach()).exp()
    (expected_BT,) = torch.autograd.grad(reduce_loss(-weighted_BT * ratio_BT, mask_BT), logps_BT)
    torch.testing.assert_close(found_BT, expected_BT)
    assert loss != reduce_loss(-weighted_BT, mask_BT)
