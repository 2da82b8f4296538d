"""Intervals and histograms of pass rates."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from rephrase_rl.statistics import pass_rate_histogram, pass_rate_interval


@pytest.mark.parametrize(("passed", "scored"), [(0, 8), (1, 8), (3, 8), (8, 8), (0, 1), (7, 64)])
def test_the_interval_is_wilsons(passed, scored) -> None:
    found = pass_rate_interval(passed, scored)
    reference = binomtest(passed, scored).proportion_ci(0.95, method="wilson")
    assert found.mean == passed / scored
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))


def test_confidence_widens_it_and_nothing_scored_has_none() -> None:
    assert pass_rate_interval(3, 8, confidence=0.99).high > pass_rate_interval(3, 8).high
    nothing = pass_rate_interval(0, 0)
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.low)


def counts(rates, samples):
    return [(bin.label, bin.problems) for bin in pass_rate_histogram(rates, samples)]


def test_bins_are_the_rates_that_can_be() -> None:
    assert counts([0, 0.25, 0.25, 0.5, 1, 1, 1], 4) == [
        ("0", 1),
        ("0.25", 2),
        ("0.5", 1),
        ("0.75", 0),
        ("1", 3),
    ]


def test_never_and_always_are_bins_of_their_own() -> None:
    # 1 of 64 and 63 of 64 are neither never nor always, though 16 bins are coarser than that.
    found = counts([0.0, 1 / 64, 63 / 64, 1.0], 64)
    assert len(found) == 17
    assert [count for _, count in found] == [1, 1, *[0] * 13, 1, 1]


def test_problems_without_a_rate_come_last() -> None:
    assert counts([math.nan], 0) == [("0", 0), ("1", 0), ("none", 1)]
    assert counts([0.0, math.nan, math.nan], 1) == [("0", 1), ("1", 0), ("none", 2)]
    assert sum(count for _, count in counts([0.1, 0.9, 0.5, math.nan], 2)) == 4
