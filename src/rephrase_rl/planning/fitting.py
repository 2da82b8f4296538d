"""Seconds per unit of work from timings: non-negative least squares on relative errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rephrase_rl.planning.devices import ProgramRates
from rephrase_rl.planning.work import UNITS, Rates, Work

SHARED = ("matmul_flops", "attention_flops")
"""Kinds of work that cost the same in every program; fitted apart, timings of a few models cannot
tell them from the rest."""
PRICED: Mapping[str, tuple[str, ...]] = {
    "score": (
        "matmul_flops",
        "attention_flops",
        "element_passes",
        "weight_bytes",
        "logits",
        "layer_calls",
    ),
    "forward": (
        "matmul_flops",
        "attention_flops",
        "element_passes",
        "weight_bytes",
        "logits",
        "layer_calls",
    ),
    "backward": (
        "matmul_flops",
        "attention_flops",
        "element_passes",
        "weight_bytes",
        "logits",
        "layer_calls",
    ),
    "decode": ("matmul_flops", "element_passes", "weight_bytes", "kv_bytes", "layer_calls"),
}
"""Kinds of work with a price of their own in each program; decoding waits for memory and calls."""


class Timing(NamedTuple):
    """Work that was done, and the seconds that it took."""

    work: Work
    seconds: float


class Fit(NamedTuple):
    """Rates of all programs, and how far they are from the timings that they were fitted to."""

    rates: ProgramRates
    errors: dict[str, tuple[float, ...]]
    """Predicted over measured, less 1, for each timing of each program."""


def fit_programs(timings: Mapping[str, Sequence[Timing]]) -> Fit:
    """Rates whose predictions have the least squared relative error; none is negative.

    Args:
        timings: By program.
    """
    import numpy as np
    from scipy.optimize import nnls

    columns = [
        (program, unit) for program in PRICED for unit in PRICED[program] if unit not in SHARED
    ]
    columns += [("", unit) for unit in SHARED]
    rows = [(program, timing) for program, each in timings.items() for timing in each]
    shares = np.array([[_share(row, column) for column in columns] for row in rows])
    scale = np.maximum(shares.max(axis=0), 1e-30)  # units differ by twelve orders of magnitude
    prices, _ = nnls(shares / scale, np.ones(len(rows)))
    price_of = dict(zip(columns, (prices / scale).tolist(), strict=True))
    rates = {
        program: Rates(
            **{
                u: price_of["" if u in SHARED else program, u]
                for u in UNITS
                if u in PRICED[program]
            }
        )
        for program in PRICED
    }
    errors = {
        program: tuple(rates[program].seconds(t.work) / t.seconds - 1.0 for t in each)
        for program, each in timings.items()
    }
    return Fit(ProgramRates(**rates), errors)


def _share(row: tuple[str, Timing], column: tuple[str, str]) -> float:
    """Units of one kind of work for each second that was measured."""
    (program, timing), (priced, unit) = row, column
    if priced not in ("", program) or unit not in PRICED[program]:
        return 0.0
    amount: float = getattr(timing.work, unit)
    return amount / timing.seconds
