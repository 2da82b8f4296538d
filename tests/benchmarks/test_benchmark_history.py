"""The history of a machine: what is compared with what, and which changes are named."""

from __future__ import annotations

import pytest
from history import append_line, compare, line_of, machine_of, read_lines
from measuring import figure

ABOUT = {
    "started_at": "2026-02-03T04:05:06+00:00",
    "git": {"commit": "ab" * 20, "dirty": False, "reason": None},
    "hardware": {"cpu": "Test CPU (TM) 3.5GHz", "cores": 2, "memory_bytes": 2**34, "system": "X"},
    "versions": {"python": "3.11.9", "torch": "2.13.0"},
}


def line(*medians: float, form: str = "full", dirty: bool = False, better: str = "lower"):
    about = ABOUT | {"git": ABOUT["git"] | {"dirty": dirty}}
    return line_of(about, form, {"cost": figure(medians, "s", better)})


def verdict(now: tuple[float, ...], lines, better: str = "lower") -> str:
    (change,) = compare({"cost": figure(now, "s", better)}, lines, "full")
    return change.verdict


def test_a_machine_is_named_by_processor_and_cores() -> None:
    assert machine_of(ABOUT) == "test-cpu-tm-3-5ghz-2-cores"


def test_lines_come_back_in_order(tmp_path) -> None:
    file = tmp_path / "new" / "machine.jsonl"
    assert read_lines(file) == []
    for seconds in (1.0, 2.0):
        append_line(file, line(seconds))
    assert read_lines(file) == [line(1.0), line(2.0)]
    assert len(file.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ((1.14, 1.14, 1.14), "within noise"),
        ((1.16, 1.16, 1.16), "regression"),
        # One slow repetition of three: the best of them is as fast as ever.
        ((0.99, 1.20, 1.30), "within noise"),
        ((0.86, 0.86, 0.86), "within noise"),
        ((0.84, 0.84, 0.84), "improvement"),
    ],
)
def test_a_slow_down_beyond_noise_is_a_regression(now, expected) -> None:
    assert verdict(now, [line(1.0)] * 5) == expected


@pytest.mark.parametrize(
    ("now", "expected"), [(84.0, "regression"), (86.0, "within noise"), (116.0, "improvement")]
)
def test_less_of_what_should_be_much_is_a_regression(now, expected) -> None:
    assert verdict((now,), [line(100.0, better="higher")], better="higher") == expected


def test_the_last_five_lines_count_by_their_median() -> None:
    # An old fast line and one slow line do not move the median of the last five: 1.0.
    lines = [line(0.1), line(1.0), line(1.0), line(9.0), line(1.0), line(1.1)]
    (change,) = compare({"cost": figure([1.2], "s")}, lines, "full")
    assert (change.before, change.lines, change.verdict) == (1.0, 5, "regression")


def test_other_forms_and_uncommitted_code_are_not_compared_with() -> None:
    (change,) = compare(
        {"cost": figure([1.2], "s")}, [line(1.0, form="quick"), line(1.0, dirty=True)], "full"
    )
    assert (change.before, change.verdict) == (None, "new")
