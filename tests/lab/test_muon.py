"""The optimizer of pretraining."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from rephrase_rl.lab.muon import Muon, orthogonalized  # noqa: E402


@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12)])
def test_orthogonalized_keeps_singular_vectors_and_levels_values(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
    result = orthogonalized(matrix)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    # In the basis of the singular vectors the result is diagonal, with values of about 1.
    inside = left.mT @ result @ right.mT
    diagonal = inside.diagonal()
    assert torch.allclose(inside, torch.diag(diagonal), atol=1e-9)
    assert values.max() / values.min() > 2.5
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.3


def test_first_step_by_hand() -> None:
    # A 1 x 1 matrix: whatever the size of the gradient 4, the update is about its sign.
    matrix = torch.nn.Parameter(torch.tensor([[2.0]]))
    matrix.grad = torch.tensor([[4.0]])
    Muon([matrix], weight_decay=0.5).step(0.1)
    # 2 * (1 - 0.1 * 0.5) = 1.9, less 0.1 times a value in [0.65, 1.2].
    assert 1.9 - 0.12 < matrix.item() < 1.9 - 0.065
    assert matrix.grad is None
