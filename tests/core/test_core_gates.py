"""Failed share and gate, against exact fractions and by hand."""

from fractions import Fraction

import pytest
import torch

from oracles import groups as oracle
from rephrase_rl.core.gates import failed_share_gate, failure_fraction, failure_mask
from rephrase_rl.errors import ShapeError

NAN = float("nan")


def test_failure_is_strictly_below_the_threshold_and_never_unscorable():
    rewards_PG = torch.tensor([[0.0, 0.49, 0.5, 1.0, NAN]])
    assert failure_mask(rewards_PG).tolist() == [[True, True, False, False, False]]


def test_unscorable_rollouts_are_neither_failed_nor_passed():
    # 2 of the 3 scored failed, not 2 of 4 and not 3 of 4.
    fraction_P = failure_fraction(torch.tensor([[0.0, NAN, 0.0, 1.0]]))
    torch.testing.assert_close(fraction_P, torch.tensor([2 / 3]))


def test_a_group_without_scored_rollouts_has_no_fraction_and_a_closed_gate():
    rewards_PG = torch.full((1, 4), NAN)
    assert failure_fraction(rewards_PG).isnan().all()
    assert failed_share_gate(rewards_PG, gate_failure_fraction=0.0).tolist() == [False]


def test_paper_default_opens_only_where_all_failed():
    rewards_PG = torch.tensor([[0.0] * 8, [0.0] * 7 + [1.0], [1.0] * 8])
    assert failed_share_gate(rewards_PG).tolist() == [True, False, False]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_gate_opens_exactly_at_its_fraction(dtype):
    """Every threshold k/n against every number of failures, for group sizes up to 16."""
    for num_members in range(1, 17):
        rewards = [
            [0.0] * failed + [1.0] * (num_members - failed) for failed in range(num_members + 1)
        ]
        rewards_PG = torch.tensor(rewards, dtype=dtype)
        for needed in range(num_members + 1):
            rho = Fraction(needed, num_members)
            expected = [oracle.gate_is_open(row, 0.5, rho) for row in rewards]
            found = failed_share_gate(rewards_PG, gate_failure_fraction=needed / num_members)
            assert found.tolist() == expected


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
def test_fractions_are_float32_whatever_a_trainer_has_made_the_default(default):
    # Two whole numbers divided give the default dtype, and bfloat16 would round 2/3 up to 0.668.
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        fraction_P = failure_fraction(torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float32))
    finally:
        torch.set_default_dtype(before)
    assert fraction_P.dtype == torch.float32
    assert fraction_P.item() == pytest.approx(2 / 3, rel=1e-7)


@pytest.mark.parametrize("function", [failure_mask, failure_fraction, failed_share_gate])
@pytest.mark.parametrize("bad", [torch.zeros(4), torch.zeros(0, 4), torch.zeros(2, 2).long()])
def test_wrong_shapes_and_dtypes_are_refused(function, bad):
    with pytest.raises(ShapeError, match="correctness_PG"):
        function(bad)
