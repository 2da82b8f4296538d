"""The section of the hard-sample ledger: its counts by step, its figure, and what it leaves out."""

from __future__ import annotations

import re
import time

import pytest
from synthetic_run import MANIFEST, estimate, group, make_run, refused, rescued, result

from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.reports import report, write_report
from rephrase_rl.reports.curves import draw_run
from rephrase_rl.reports.ledger import (
    cumulative_counts,
    later_pass_fractions,
    view_ledger,
)
from rephrase_rl.runs import RunDirectory

RECORDS = [
    rescued(0, "a"),
    refused(0, "b"),
    group(0, "easy"),
    rescued(2, "b"),
    group(2, "a", failure_fraction=0.75),
    rescued(3, "c"),
    group(5, "a", failure_fraction=0.25),
    refused(5, "b"),
]


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "run", MANIFEST, "method: repo\n")
    run.append_groups(RECORDS)
    return run


@pytest.fixture
def words(monkeypatch):
    """The cover of a run's report as plain words; its curves, tested elsewhere, are not drawn."""
    figure = draw_run([], [])
    monkeypatch.setattr(report, "draw_run", lambda *_: figure)

    def read(run: RunDirectory) -> str:
        page = write_report(run.path).index.read_text()
        section = page[page.index('id="ledger"') : page.index('id="card"')]
        return " ".join(re.sub(r"<[^>]*>", " ", section).split())

    return read


def test_counts_are_cumulated_over_the_steps_with_groups():
    counts = cumulative_counts(Ledger.from_records(RECORDS))

    # step, all failed at first, with an injection, solved unguided
    assert counts == [(0, 2, 1, 0), (2, 2, 2, 1), (3, 3, 3, 1), (5, 3, 3, 1)]


def test_counting_takes_time_in_proportion_to_the_groups():
    # 8,000 steps and 8,000 problems: one look at every problem for every step takes 20 s.
    ledger = Ledger.from_records(rescued(step, f"p{step}") for step in range(8000))
    started = time.process_time()
    counts = cumulative_counts(ledger)
    assert time.process_time() - started < 3
    assert counts[-1] == (7999, 8000, 8000, 0)


def test_first_visits_are_not_among_the_later_pass_fractions():
    later = later_pass_fractions(Ledger.from_records(RECORDS))

    # step 2: b 0 and a 0.25; step 3 has a first visit only; step 5: a 0.75 and b 0.
    assert later == [(2, 0.125), (5, 0.375)]


def test_the_cover_shows_the_counts(run, words):
    text = words(run)

    assert "all failed at first 3 75.0 % of problems seen" in text
    assert "of them with an injection 3 100.0 %" in text
    assert "without any injection on the problem: 0 1 33.3 %" in text
    assert "not seen again: 1 2 66.7 %" in text
    assert "injections until the solve, median of the 1 solved 1.0 not in it: 2 not solved" in text
    assert "See each problem over time" in text
    assert "rephrase-rl ledger RUN --utilisation" in text


def test_the_cover_shows_utilisation_where_it_was_measured(run, words):
    measured = {
        "num_problems": 3,
        "num_hard_problems": 4,
        "samples_per_problem": 8,
        "step": 6,
        "seed": 0,
        **{name: estimate(0.5) for name in ("solved", "accuracy", "accuracy_gain")},
        **{name: estimate(0.25) for name in ("base_solved", "base_accuracy")},
        "solved_gain": estimate(None),
    }
    name = "hard-sample-utilisation-k8"
    run.write_evaluation(6, name, result(name, 0.5, utilisation=measured), [])

    text = words(run)

    assert "Hard-sample utilisation at step 6 3 of the 4 problems" in text
    assert (
        "problems solved in 8 samples 0.500 (0.450–0.550) 0.250 (0.200–0.300) "
        "nothing could be scored"
    ) in text
    assert "--utilisation”" not in text


def test_a_run_without_all_groups_is_not_counted(tmp_path, words):
    run = RunDirectory.create(tmp_path / "run", MANIFEST, "log: {groups: open}\n")
    run.append_groups(RECORDS)

    assert view_ledger(run, Ledger.from_records(RECORDS)).summary is None
    assert "Not every group was recorded" in words(run)


def test_an_empty_run_says_so(tmp_path, words):
    run = RunDirectory.create(tmp_path / "run", MANIFEST, "method: repo\n")
    assert "No groups have been recorded." in words(run)


def test_problems_that_never_come_again_are_counted(tmp_path):
    run = make_run(tmp_path / "run")
    view = view_ledger(run, Ledger.of_run(run))
    assert view.summary.not_seen_again == view.summary.initially_all_failed == 5
