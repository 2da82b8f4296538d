"""Reductions against closed forms and float64 loops."""

import pytest
import torch

from oracles import losses as oracle
from rephrase_rl.core.reduction import reduce_loss
from rephrase_rl.errors import ConfigError, ShapeError

LOSS_BT = torch.tensor([[1.0, 1.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0]])
MASK_BT = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
FORMS = [("token_mean", None), ("sequence_mean", None), ("fixed_length", 8)]


@pytest.mark.parametrize(
    ("reduction", "length", "expected"),
    [
        ("token_mean", None, 14 / 6),  # 2 * 1 + 4 * 3 over 2 + 4 tokens
        ("sequence_mean", None, 2.0),  # (1 + 3) / 2
        ("fixed_length", 8, 14 / 16),  # 14 over 2 rows of 8
    ],
)
def test_closed_forms(reduction, length, expected):
    found = reduce_loss(LOSS_BT, MASK_BT, reduction=reduction, fixed_length=length)
    assert found.item() == pytest.approx(expected)
    assert found.shape == ()


@pytest.mark.parametrize(("reduction", "length"), FORMS)
def test_agrees_with_loops_also_with_an_empty_row(reduction, length):
    loss_BT = torch.linspace(-2, 3, 20, dtype=torch.float64).reshape(4, 5)
    mask_BT = torch.tensor([[1, 1, 1, 0, 0], [0] * 5, [0, 1, 0, 0, 0], [1] * 5])
    found = reduce_loss(loss_BT, mask_BT, reduction=reduction, fixed_length=length)
    expected = oracle.reduced(loss_BT.tolist(), mask_BT.tolist(), reduction, length)
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("reduction", "length"), FORMS)
@pytest.mark.parametrize("total", [18, 18.0, torch.tensor(18)])
def test_totals_of_the_step_replace_those_of_the_part(reduction, length, total):
    own = reduce_loss(LOSS_BT, MASK_BT, reduction=reduction, fixed_length=length)
    # Twice the tokens and twice the rows elsewhere: a third of the weight here.
    part = reduce_loss(
        LOSS_BT,
        MASK_BT,
        reduction=reduction,
        fixed_length=length,
        total_tokens=total,
        total_rows=6,
    )
    torch.testing.assert_close(part, own / 3)


@pytest.mark.parametrize(("reduction", "length"), FORMS)
def test_a_part_without_tokens_is_zero(reduction, length):
    empty_BT = torch.zeros_like(MASK_BT)
    for total in (None, 0, torch.tensor(0)):
        found = reduce_loss(
            LOSS_BT, empty_BT, reduction=reduction, fixed_length=length, total_tokens=total
        )
        assert found.item() == 0.0


@pytest.mark.parametrize(("reduction", "length"), FORMS)
def test_gradcheck(reduction, length):
    loss_BT = LOSS_BT.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: reduce_loss(x, MASK_BT, reduction=reduction, fixed_length=length), (loss_BT,)
    )


@pytest.mark.parametrize("number", [float, torch.tensor])
def test_one_token_on_several_ranks_is_the_whole_mean(number):
    # Each of 4 ranks is given a quarter of the total; their gradients are averaged.
    loss_BT, mask_BT = torch.tensor([[3.0, 5.0]]), torch.tensor([[1, 0]])
    own = reduce_loss(loss_BT, mask_BT, total_tokens=number(1 / 4))
    others = reduce_loss(loss_BT, torch.zeros_like(mask_BT), total_tokens=number(1 / 4))
    assert (own + 3 * others) / 4 == reduce_loss(loss_BT, mask_BT) == 3.0


def test_a_limit_of_one_token_is_a_length():
    loss_BT, mask_BT = torch.tensor([[1.0], [4.0]]), torch.ones(2, 1).bool()
    assert reduce_loss(loss_BT, mask_BT, reduction="fixed_length", fixed_length=1).item() == 2.5


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigError, match="reduction"):
        reduce_loss(LOSS_BT, MASK_BT, reduction="mean")
    for reduction, length in (
        ("fixed_length", None),
        ("fixed_length", 0),
        ("fixed_length", -1),
        ("token_mean", 8),
        ("token_mean", 0),
    ):
        with pytest.raises(ConfigError, match="fixed_length"):
            reduce_loss(LOSS_BT, MASK_BT, reduction=reduction, fixed_length=length)
    with pytest.raises(ShapeError, match="loss_BT"):
        reduce_loss(LOSS_BT[:1], MASK_BT)
