"""Muon in float32: momentum whose update is orthogonalized (Jordan et al. 2024).

``torch.optim.Muon`` iterates in bfloat16, which a CPU without bfloat16 units does so slowly that it
takes longer than the rest of the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration: steepest at zero while singular values stay near 1 (Muon's own)."""
_ITERATIONS = 5


class Muon:
    """Updates matrices by orthogonalized Nesterov momentum, with decoupled weight decay."""

    def __init__(
        self, matrices: Sequence[Tensor], weight_decay: float, momentum: float = 0.95
    ) -> None:
        import torch

        self._matrices = list(matrices)
        self._weight_decay = weight_decay
        self._momentum = momentum
        self._averages = [torch.zeros_like(matrix) for matrix in self._matrices]

    def step(self, learning_rate: float) -> None:
        """Updates every matrix from its gradient, and drops the gradient."""
        import torch

        with torch.no_grad():
            for matrix, average in zip(self._matrices, self._averages, strict=True):
                assert matrix.grad is not None  # noqa: S101  (narrows the type)
                average.lerp_(matrix.grad, 1 - self._momentum)
                update = orthogonalized(matrix.grad.lerp(average, self._momentum))
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.mul_(1 - learning_rate * self._weight_decay)
                matrix.add_(update, alpha=-learning_rate * scale)
                matrix.grad = None


def orthogonalized(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors and singular values of about 1 (0.65 to 1.25)."""
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x
