"""Series, budgets and evaluation rows: missing figures stay visible as missing."""

from __future__ import annotations

import math

import pytest
from synthetic_run import CONFIG, MANIFEST, estimate, result

from rephrase_rl.errors import EvaluationError
from rephrase_rl.records import StepRecord
from rephrase_rl.reports import numbers, series
from rephrase_rl.reports.budgets import measure_budget, token_total
from rephrase_rl.reports.evaluations import first_of_each, last_of_each, read_evaluations
from rephrase_rl.reports.group_tally import GroupTally
from rephrase_rl.runs import RunDirectory

STEPS = [
    StepRecord(0, {"tokens/rollout": 100.0, "tokens/rephrase": 10.0, "reward": 0.5}),
    StepRecord(1, {"tokens/rollout": None, "tokens/rephrase": 20.0}),
    StepRecord(2, {"tokens/rollout": 300.0, "tokens/rephrase": None, "reward": None}),
]


def test_absent_and_null_figures_are_nan():
    values = series.values_of(STEPS, "reward")

    assert values[0] == 0.5
    assert math.isnan(values[1])
    assert math.isnan(values[2])
    assert not series.has_figures(series.values_of(STEPS, "loss"))


def test_the_moving_average_uses_what_is_there():
    # Windows of 3, cut short at the ends: (1+2)/2, (1+2)/2 beside a NaN, 2 and 4, 4 and 6.
    values = series.moving_average([1.0, 2.0, math.nan, 4.0, 6.0], 3)
    assert values == [1.5, 1.5, 3.0, 5.0, 5.0]

    assert math.isnan(series.moving_average([math.nan, math.nan], 3)[0])


def test_the_moving_average_may_be_asked_for_at_some_steps_only():
    values = [float(step * step) for step in range(50)]
    assert series.moving_average(values, 5, [0, 7, 49]) == [
        series.moving_average(values, 5)[step] for step in (0, 7, 49)
    ]


def test_an_outline_keeps_peaks_dips_and_gaps():
    values = [0.0] * 1000
    values[333], values[334], values[900] = 7.0, -7.0, 5.0
    values[500:600] = [math.nan] * 100

    kept = series.outline(values, 40)

    assert len(kept) <= 40
    assert kept == sorted(set(kept))
    assert {333, 334, 900} <= set(kept)
    # Stretches of 50 steps: two of them lie in the gap, each shown by one missing value.
    assert [step for step in kept if math.isnan(values[step])] == [500, 550]


def test_a_short_line_is_its_own_outline():
    assert series.outline([3.0, math.nan, 1.0], 3) == [0, 1, 2]


def test_the_window_is_odd_and_about_a_twentieth():
    assert [series.smoothing_window(n) for n in (1, 39, 40, 240)] == [1, 1, 3, 13]


def test_tokens_accumulate_over_both_kinds():
    assert series.cumulative_tokens(STEPS) == [110.0, 130.0, 430.0]


def test_steps_without_a_figure_are_counted():
    total = token_total(STEPS, "tokens/rollout")

    assert (total.tokens, total.steps_missing) == (400, 1)
    assert token_total(STEPS, "tokens/other").tokens is None


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", MANIFEST, CONFIG)


def test_wall_time_is_the_summary_s_or_the_sum_of_the_steps(run):
    assert measure_budget(run, [], [], GroupTally()).wall_s is None
    for step, seconds in enumerate((1.5, None, 2.0)):
        run.append_timing(step, {"time/step_s": seconds})
    budget = measure_budget(run, STEPS, [], GroupTally())
    assert budget.wall_s == 3.5
    assert budget.wall_source == "sum of time/step_s over 2 steps"
    assert budget.training_tokens == 430
    run.write_summary({"wall_s": 9.0})
    assert measure_budget(run, STEPS, [], GroupTally()).wall_s == 9.0


def test_first_and_last_evaluations_go_by_steps_not_by_text(run):
    for step in (0, 9, 100):
        run.write_evaluation(step, "hard", result("hard", step / 1000), [])
    run.write_evaluation(9, "easy", result("easy", None), [])

    rows = read_evaluations(run)

    assert {name: row.step for name, row in last_of_each(rows).items()} == {"easy": 9, "hard": 100}
    assert first_of_each(rows)["hard"].step == 0
    assert last_of_each(rows)["hard"].avg_at_k.mean == 0.1
    assert last_of_each(rows)["easy"].avg_at_k.mean is None


def test_pass_at_k_is_in_order_of_k(run):
    passes = {"8": estimate(0.8), "1": estimate(0.1), "16": estimate(0.9)}
    run.write_evaluation(0, "hard", result("hard", 0.1, pass_at_k=passes), [])

    assert list(read_evaluations(run)[0].pass_at_k) == ["1", "8", "16"]


def test_every_result_without_an_estimate_is_named(run):
    for name in ("a", "b"):
        run.write_evaluation(0, name, {"benchmark": name}, [])

    with pytest.raises(EvaluationError, match=r"0.a.result\.json.*0.b.result\.json"):
        read_evaluations(run)


def test_numbers_as_people_read_them():
    assert numbers.interval({"mean": None, "low": None, "high": None}) == "nothing could be scored"
    assert numbers.interval({"mean": 0.5, "low": None, "high": None}) == "0.500 (no interval)"
    assert numbers.figure(-0.5) == "−0.500"
    assert numbers.figure(math.nan) == "–"
    assert numbers.reward(math.nan) == "?"
    assert numbers.reward(1.0) == "1"
    assert numbers.count(1234567) == "1,234,567"
    assert numbers.duration(61) == "1 min 1 s"
    assert numbers.duration(3599.7) == "1 h 0 min 0 s"
    assert numbers.duration(0.25) == "0.2 s"
    assert numbers.moment("2026-02-03T23:05:06-02:00") == "4 February 2026, 01:05 UTC"
    assert numbers.moment("yesterday") == "yesterday"
    assert numbers.fact({"a": [1, 2], "b": None}) == "a: 1, 2, b: not recorded"
