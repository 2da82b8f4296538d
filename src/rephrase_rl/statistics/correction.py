"""Correction of p-values for the number of questions that were asked at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values by Holm's step-down method; each adjusted one may be held against the level.

    The chance that any of the null hypotheses that are true falls below the level is at most the
    level, whatever the dependence between the tests. Sorted ascending,
    ``adjusted_i = max over j <= i of min(1, (m - j) * p_j)``, j from 0.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70; computed by statsmodels.

    Args:
        p_values: One per test. None: a test that could not be made; it is not counted in m.

    Returns:
        The adjusted values in the order given, None where there was none.

    Raises:
        EvaluationError: A value is not in [0, 1].

    Example:
        >>> [None if p is None else round(p, 6) for p in holm([0.01, None, 0.04, 0.03])]
        [0.03, None, 0.06, 0.06]
    """
    bad = [p for p in p_values if p is not None and not 0 <= p <= 1]
    if bad:
        raise EvaluationError(
            f"found p-values {', '.join(map(str, bad[:5]))}, required: numbers from 0 to 1; give "
            "None where a test could not be made"
        )
    known = [float(p) for p in p_values if p is not None]
    if not known:
        return list(p_values)
    # Here and not above: it brings pandas, which nothing else of this package needs.
    from statsmodels.stats.multitest import multipletests

    adjusted = iter(multipletests(known, method="holm")[1])
    return [None if p is None else float(next(adjusted)) for p in p_values]
