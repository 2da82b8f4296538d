"""Figures of a comparison as people read them, for pages and terminal alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.reports import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.records import JSON

BUDGET_ROWS = (
    ("optimiser steps", "steps", "count"),
    ("problems trained on", "prompts", "count"),
    ("expert texts used", "expert_texts", "count"),
    ("tokens, rollouts", "tokens_rollouts", "count"),
    ("tokens, rewrites", "tokens_rewrites", "count"),
    ("tokens, training", "tokens_training", "count"),
    ("tokens, evaluation", "tokens_evaluation", "count"),
    ("wall time", "wall_s", "duration"),
    ("peak memory", "peak_memory_host_bytes", "memory"),
    ("peak memory, GPU", "peak_memory_gpu_bytes", "memory"),
)
"""Title, name in the arm's budget, and how it is written."""


def amount(value: float | None, kind: str) -> str:
    """Format an entry of ``BUDGET_ROWS``."""
    return {"count": numbers.count, "duration": numbers.duration, "memory": numbers.memory}[kind](
        value
    )


def p_value(value: float | None) -> str:
    """Format a p-value; a dash where there is none.

    Example:
        >>> p_value(0.04321), p_value(0.00001), p_value(None)
        ('0.043', '< 0.0001', '–')
    """
    if value is None:
        return numbers.MISSING
    if value < 0.0001:
        return "< 0.0001"
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Format a difference with its sign.

    Example:
        >>> signed(0.25), signed(-0.25), signed(0.0)
        ('+0.250', '−0.250', '0.000')
    """
    sign = "+" if value is not None and value > 0 else ""
    return sign + numbers.figure(value)


def difference(test: Mapping[str, JSON]) -> str:
    """Format a test's difference with its interval.

    Example:
        >>> difference({"difference": 0.5, "low": -0.1, "high": 1.1})
        '+0.500 (−0.100 to +1.100)'
    """
    shown = signed(test["difference"])
    if test["low"] is None or test["high"] is None:
        return f"{shown} (no interval)"
    return f"{shown} ({signed(test['low'])} to {signed(test['high'])})"


def points(change: Mapping[str, JSON]) -> str:
    """Format a change of a share in points of a hundred, with its interval.

    Example:
        >>> points({"mean": 0.5, "low": 0.4, "high": 0.6})
        '+50.0 (+40.0 to +60.0)'
    """

    def shown(value: float) -> str:
        return ("+" if value > 0 else "") + numbers.figure(100 * value, 1)

    if change["low"] is None or change["high"] is None:
        return f"{shown(change['mean'])} (no interval)"
    return f"{shown(change['mean'])} ({shown(change['low'])} to {shown(change['high'])})"


def median_time(time: Mapping[str, JSON]) -> str:
    """Format a median time to a threshold; ``not reached`` where most runs do not get there.

    Example:
        >>> median_time({"median": 20.0, "low": 10.0, "high": None})
        '20 (10 to –)'
    """
    if time["median"] is None:
        return "not reached"
    low, high = (
        numbers.MISSING if time[end] is None else numbers.count(time[end])
        for end in ("low", "high")
    )
    return f"{numbers.count(time['median'])} ({low} to {high})"
