"""Holm's correction against his own example of steps, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import EvaluationError
from rephrase_rl.statistics import holm


@pytest.fixture(scope="module", autouse=True)
def _no_garbage_collection():
    """statsmodels collects garbage in every call, which takes longer than everything else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.collect", lambda *_: 0)
        yield


P_VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8)


def test_steps_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04; running maximum.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == [0.03]


def test_tests_that_could_not_be_made_do_not_count() -> None:
    assert holm([None, 0.01, None, 0.04]) == [None, pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(p_values=P_VALUES)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_never_smaller_never_beyond_bonferroni_and_in_the_same_order(p_values) -> None:
    adjusted = holm(p_values)
    pairs = [(p, q) for p, q in zip(p_values, adjusted, strict=True) if p is not None]
    assert [q is None for q in adjusted] == [p is None for p in p_values]
    assert all(p - 1e-12 <= q <= min(1, len(pairs) * p) + 1e-12 for p, q in pairs)
    ranked = [q for _, q in sorted(pairs)]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(bad) -> None:
    with pytest.raises(EvaluationError, match="from 0 to 1"):
        holm([0.5, bad])


def test_the_chance_of_any_false_alarm_keeps_the_level() -> None:
    """Ten true nulls whose tests depend on one another: some p below 0.05 in 40 % of the sets."""
    generator = np.random.default_rng(0)
    sets = (generator.random((2000, 10)) + generator.random((2000, 1))) % 1
    raw = (sets < 0.05).any(axis=1).mean()
    alarms = np.mean([min(holm(list(row))) < 0.05 for row in sets])
    assert raw > 0.3
    assert alarms < 0.06
