"""Values by cluster (problem, seed) brought to one number each; what all intervals start from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rephrase_rl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray: TypeAlias = NDArray[np.float64]


def cluster_means(values_PK: Sequence[Sequence[float]] | FloatArray) -> FloatArray:
    """Return the mean of each problem that has a value."""
    means_P = means_with_gaps(values_PK)
    return means_P[~np.isnan(means_P)]


def means_with_gaps(values_PK: Sequence[Sequence[float]] | FloatArray) -> FloatArray:
    """Return the mean of each problem; NaN where none of its values is a number."""
    if isinstance(values_PK, np.ndarray) and values_PK.ndim == 2 and values_PK.shape[1] == 1:
        return values_PK[:, 0].astype(np.float64)
    means = []
    for row in values_PK:
        values_K = np.asarray(row, dtype=np.float64)
        scored = values_K[~np.isnan(values_K)]
        means.append(float(scored.mean()) if len(scored) else math.nan)
    return np.asarray(means, dtype=np.float64)


def check_confidence(confidence: float) -> None:
    """Refuse a coverage that is no share.

    Raises:
        EvaluationError: It is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise EvaluationError(
            f"confidence is {confidence}, required: between 0 and 1, such as 0.95 for 95 %"
        )
