"""The three estimators against loops, exact expectations and gradcheck."""

import pytest
import torch

from oracles import losses as oracle
from rephrase_rl.core import kl
from rephrase_rl.errors import ShapeError

ESTIMATORS = {"k1": kl.k1, "k2": kl.k2, "k3": kl.k3}
LOGPS = [[-0.3, -1.2, -0.1], [-0.9, -0.4, -3.0]]
REF_LOGPS = [[-0.5, -0.7, -0.1], [-0.2, -1.4, -0.3]]
MASK = [[1, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_estimates_agree_with_loops(kind, dtype, rtol):
    found_BT = ESTIMATORS[kind](
        torch.tensor(LOGPS, dtype=dtype), torch.tensor(REF_LOGPS, dtype=dtype), torch.tensor(MASK)
    )
    expected = [
        [oracle.kl(a, b, kind) if m else 0.0 for a, b, m in zip(*rows, strict=True)]
        for rows in zip(LOGPS, REF_LOGPS, MASK, strict=True)
    ]
    torch.testing.assert_close(
        found_BT.double(), torch.tensor(expected, dtype=torch.float64), rtol=rtol, atol=1e-7
    )


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_expectation_over_a_whole_vocabulary_is_the_divergence(kind):
    # Every token of a vocabulary of 4, weighted by its probability: sum p log(p / q) by definition.
    p_V = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    q_V = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    estimates_V = ESTIMATORS[kind](p_V.log()[None], q_V.log()[None], torch.ones(1, 4).bool())[0]
    divergence = (p_V * (p_V / q_V).log()).sum()
    torch.testing.assert_close((p_V * estimates_V).sum(), divergence, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["k2", "k3"])
def test_small_distances_keep_their_digits_in_float32(kind):
    # Both are d^2/2 to leading order; exp(d) - d - 1 by itself would give 0 or 1.2e-7 here.
    found_BT = ESTIMATORS[kind](
        torch.tensor([[0.0]]), torch.tensor([[1e-5]]), torch.ones(1, 1).bool()
    )
    assert found_BT.item() >= 0
    if kind == "k2":
        assert found_BT.item() == pytest.approx(5e-11, rel=1e-4)
    else:
        assert found_BT.item() == pytest.approx(5e-11, abs=1e-11)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_gradcheck(kind):
    logps_BT = torch.tensor(LOGPS, dtype=torch.float64, requires_grad=True)
    ref_BT = torch.tensor(REF_LOGPS, dtype=torch.float64)
    mask_BT = torch.tensor(MASK)
    assert torch.autograd.gradcheck(lambda x: ESTIMATORS[kind](x, ref_BT, mask_BT), (logps_BT,))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_wrong_shapes_are_refused(kind):
    with pytest.raises(ShapeError, match="ref_logps_BT"):
        ESTIMATORS[kind](torch.zeros(2, 3), torch.zeros(2, 2), torch.ones(2, 3).bool())
    with pytest.raises(ShapeError, match=r"^logps_BT"):
        ESTIMATORS[kind](torch.zeros(2, 1), torch.zeros(2, 3), torch.ones(2, 3).bool())
