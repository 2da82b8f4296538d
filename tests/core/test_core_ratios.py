"""Importance and context ratios against closed forms, float64 loops and gradcheck."""

import math

import pytest
import torch

from oracles import losses as oracle
from rephrase_rl.core.ratios import context_ratio, importance_ratio
from rephrase_rl.errors import ConfigError, ShapeError

# The last two rows have one token and none.
LOGPS = [[-0.3, -1.2, -0.1, -2.0], [-0.9, -0.4, -3.0, -0.2], [-0.6] * 4, [-1.0] * 4]
OTHER = [[-0.5, -0.7, -0.1, -1.0], [-0.2, -1.4, -0.3, -0.9], [-1.1] * 4, [-2.0] * 4]
MASK = [[1, 1, 1, 0], [0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]


def tensors(dtype=torch.float64):
    return torch.tensor(LOGPS, dtype=dtype), torch.tensor(OTHER, dtype=dtype), torch.tensor(MASK)


def assert_matches(found_BT, expected):
    filled = [[1.0 if x is None else x for x in row] for row in expected]
    rtol = 1e-12 if found_BT.dtype == torch.float64 else 1e-6
    torch.testing.assert_close(
        found_BT.double(), torch.tensor(filled, dtype=torch.float64), rtol=rtol, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("clamp", [None, 0.4])
def test_importance_ratio_agrees_with_loops(dtype, level, clamp):
    logps_BT, old_logps_BT, mask_BT = tensors(dtype)
    found_BT = importance_ratio(logps_BT, old_logps_BT, mask_BT, level=level, log_ratio_clamp=clamp)
    expected = oracle.importance_ratio(logps_BT.tolist(), old_logps_BT.tolist(), MASK, level, clamp)
    assert_matches(found_BT, expected)
    assert found_BT.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cap", [math.inf, 2.0, 0.5])
@pytest.mark.parametrize(
    ("level", "length_normalized"), [("token", False), ("sequence", False), ("sequence", True)]
)
def test_context_ratio_agrees_with_loops(dtype, cap, level, length_normalized):
    on_q_BT, on_context_BT, mask_BT = tensors(dtype)
    found_BT = context_ratio(
        on_q_BT, on_context_BT, mask_BT, level=level, cap=cap, length_normalized=length_normalized
    )
    expected = oracle.context_ratio(
        on_q_BT.tolist(), on_context_BT.tolist(), MASK, level, cap, length_normalized
    )
    assert_matches(found_BT, expected)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_the_first_update_has_ratio_one_and_the_gradient_of_the_log_prob(level):
    logps_BT, _, mask_BT = tensors()
    logps_BT.requires_grad_()
    ratio_BT = importance_ratio(logps_BT, logps_BT.detach(), mask_BT, level=level)
    assert torch.equal(ratio_BT, torch.ones_like(ratio_BT))
    (gradient_BT,) = torch.autograd.grad(ratio_BT.sum(), logps_BT)
    # token: d ratio_t / d logp_t = 1. sequence: n tokens each give 1/n to every logp, n * 1/n = 1.
    torch.testing.assert_close(gradient_BT, mask_BT.double())


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_importance_ratio_gradcheck(level):
    logps_BT, old_logps_BT, mask_BT = tensors()
    logps_BT.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: importance_ratio(x, old_logps_BT, mask_BT, level=level), (logps_BT,)
    )


def test_a_row_without_tokens_makes_no_nan_on_the_way_back():
    # Masked out in the end, and still an error for whoever looks for a NaN in anomaly mode.
    logps_BT, old_logps_BT, mask_BT = tensors()
    logps_BT.requires_grad_()
    with torch.autograd.set_detect_anomaly(True):
        importance_ratio(logps_BT, old_logps_BT, mask_BT, level="sequence").sum().backward()
    assert logps_BT.grad[-1].tolist() == [0.0] * 4


def test_clamped_log_ratio_has_no_gradient():
    logps_BT = torch.tensor([[0.0, 30.0, -30.0]], requires_grad=True)
    ratio_BT = importance_ratio(
        logps_BT, torch.zeros(1, 3), torch.ones(1, 3).bool(), log_ratio_clamp=20.0
    )
    expected_BT = torch.tensor([[0.0, 20.0, -20.0]]).exp()
    torch.testing.assert_close(ratio_BT, expected_BT)
    (gradient_BT,) = torch.autograd.grad(ratio_BT.sum(), logps_BT)
    assert gradient_BT.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_context_ratio_is_a_weight_without_gradient(level):
    logps_BT, other_BT, mask_BT = tensors()
    assert not context_ratio(
        logps_BT.requires_grad_(), other_BT, mask_BT, level=level
    ).requires_grad


def test_a_huge_context_ratio_stops_at_its_cap():
    # 200 nats overflow float32 after the exponential, so the cap has to come before it.
    on_q_BT = torch.zeros(1, 2)
    on_context_BT = torch.full((1, 2), -200.0)
    mask_BT = torch.ones(1, 2).bool()
    for level in ("token", "sequence"):
        found_BT = context_ratio(on_q_BT, on_context_BT, mask_BT, level=level, cap=3.0)
        torch.testing.assert_close(found_BT, torch.full((1, 2), 3.0))


def test_sequence_product_of_a_long_text_vanishes_and_its_mean_does_not():
    on_q_BT = torch.full((1, 300), -1.0)
    on_context_BT = torch.full((1, 300), -0.5)
    mask_BT = torch.ones(1, 300).bool()
    product_BT = context_ratio(on_q_BT, on_context_BT, mask_BT, level="sequence")
    mean_BT = context_ratio(
        on_q_BT, on_context_BT, mask_BT, level="sequence", length_normalized=True
    )
    assert product_BT.max() < 1e-30  # exp(-150)
    torch.testing.assert_close(mean_BT, torch.full((1, 300), math.exp(-0.5)))


def test_bad_arguments_are_refused():
    logps_BT, other_BT, mask_BT = tensors()
    with pytest.raises(ConfigError, match="level"):
        importance_ratio(logps_BT, other_BT, mask_BT, level="row")
    with pytest.raises(ConfigError, match="level"):
        context_ratio(logps_BT, other_BT, mask_BT, level="row")
    for cap in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="cap"):
            context_ratio(logps_BT, other_BT, mask_BT, cap=cap)
    with pytest.raises(ConfigError, match="length_normalized"):
        context_ratio(logps_BT, other_BT, mask_BT, length_normalized=True)
    with pytest.raises(ShapeError, match="old_logps_BT"):
        importance_ratio(logps_BT, other_BT[:, :2], mask_BT)
    with pytest.raises(ShapeError, match=r"^logps_BT"):
        importance_ratio(logps_BT[:, :1], other_BT, mask_BT)
    with pytest.raises(ShapeError, match="logps_on_q_BT"):
        context_ratio(logps_BT[:, :1], other_BT, mask_BT)
    with pytest.raises(ShapeError, match="logps_on_context_BT"):
        context_ratio(logps_BT, other_BT[:, :1], mask_BT)
    with pytest.raises(ShapeError, match="loss_mask_BT"):
        importance_ratio(logps_BT, other_BT, mask_BT.double())
