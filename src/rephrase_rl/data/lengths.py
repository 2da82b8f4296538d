"""Quantiles of lengths, exact and in bounded memory: only how often each length occurs is kept."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LengthSummary:
    """Quantiles of a number of lengths; every figure is a length that occurs."""

    count: int
    p50: int
    p90: int
    p99: int
    longest: int


@dataclass(frozen=True, slots=True)
class Fit:
    """How many texts keep to a limit."""

    limit: int
    fitting: int
    count: int
    over: tuple[str, ...] = ()
    """Ids of the first problems whose text does not, up to five, where they were kept."""


class LengthCounts:
    """Lengths, one after the other."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, length: int) -> None:
        """Take in one length."""
        self._counts[length] += 1

    def summary(self) -> LengthSummary | None:
        """The quantiles; None if there is no length."""
        count = self._counts.total()
        if not count:
            return None
        ordered = sorted(self._counts.items())
        p50, p90, p99 = (_nearest_rank(ordered, math.ceil(count * q / 100)) for q in (50, 90, 99))
        return LengthSummary(count, p50, p90, p99, ordered[-1][0])

    def at_most(self, limit: int) -> int:
        """How many lengths do not exceed a limit."""
        return sum(times for length, times in self._counts.items() if length <= limit)

    def fit(
        self, limit: int | None, *, further_tokens: int = 0, over: tuple[str, ...] = ()
    ) -> Fit | None:
        """How the lengths keep to a limit; None if there is no limit, or no length.

        Args:
            limit: Of a text with what is added to it.
            further_tokens: That are added to each text.
            over: See ``Fit``.
        """
        count = self._counts.total()
        if limit is None or not count:
            return None
        return Fit(limit, self.at_most(limit - further_tokens), count, over)


def _nearest_rank(ordered: list[tuple[int, int]], rank: int) -> int:
    """The length at a rank from 1, of (length, how often) pairs in order."""
    passed = 0
    for length, times in ordered:
        passed += times
        if passed >= rank:
            return length
    return ordered[-1][0]
