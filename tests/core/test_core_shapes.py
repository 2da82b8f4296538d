"""The checks at the door."""

import pytest
import torch

from rephrase_rl.core import shapes
from rephrase_rl.errors import ShapeError


def test_message_names_argument_expectation_and_finding():
    with pytest.raises(ShapeError) as caught:
        shapes.check_axes("slot_P", torch.zeros(3, 2), "P", {"P": 4})
    assert str(caught.value) == "slot_P: expected shape (P=4), found shape (3, 2)"
    assert (caught.value.name, caught.value.found) == ("slot_P", "shape (3, 2)")


@pytest.mark.parametrize("shape", [(), (3,), (3, 4, 1), (0, 4), (3, 0)])
def test_wrong_rank_and_empty_axes_are_refused(shape):
    with pytest.raises(ShapeError, match="P>=1, G>=1"):
        shapes.check_axes("rewards_PG", torch.zeros(shape), "PG")


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8])
def test_masks_may_be_bool_or_whole_numbers(dtype):
    mask_BT = shapes.check_token_values(torch.tensor([[1, 0]], dtype=dtype))
    assert mask_BT.dtype == torch.bool
    assert mask_BT.tolist() == [[True, False]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_weights_are_not_a_mask(dtype):
    with pytest.raises(ShapeError, match="bool or integer"):
        shapes.check_token_values(torch.ones(1, 2, dtype=dtype))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 1), (2, 0)])
def test_a_mask_has_rows_and_tokens(shape):
    with pytest.raises(ShapeError, match="loss_mask_BT: expected shape"):
        shapes.check_token_values(torch.ones(shape).bool())


def test_tensors_under_a_mask_have_its_shape_and_a_floating_dtype():
    mask_BT = torch.ones(2, 3).bool()
    with pytest.raises(ShapeError, match="logps_BT: expected shape"):
        shapes.check_token_values(mask_BT, logps_BT=torch.zeros(2, 1))
    with pytest.raises(ShapeError, match="logps_BT: expected a floating dtype"):
        shapes.check_token_values(mask_BT, logps_BT=torch.zeros(2, 3).long())
