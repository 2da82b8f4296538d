"""Summaries become numbers: accuracies per problem, losses against the right policy, events."""

from __future__ import annotations

import numpy as np
import pytest

from rephrase_rl.studies.cells import ANY, Cell, base_cell
from rephrase_rl.studies.outcomes import collapses, matching, on_test, runs_of, spikes
from study_fakes import digits_of, finished, swept


def cell(arm: str, seed: int = 0, expert: str = "alien") -> Cell:
    return Cell(arm, "mixed", expert, "good", seed, 1e-4)


def bases(*accuracies: float) -> list[dict]:
    return [finished(base_cell("good", i), kept=a) for i, a in enumerate(accuracies)]


def test_digits_are_shares_of_samples() -> None:
    digits = digits_of(0.0, 1.0, problems=4)
    digits["hard"] = {"first": "4201", "all": "8301", "samples": 8}
    found = on_test(digits)
    assert found.hard.tolist() == [1.0, 0.5, 0.0, 0.25]
    assert found.any_passed.tolist() == [1.0, 1.0, 0.0, 1.0]
    assert found.held_out == found.in_batch == 1.0


def test_easy_general_and_trained_problems_are_shares_too() -> None:
    digits = digits_of(0.0, 1.0, problems=4)
    digits["easy"] = {"chain": "42", "other": "10", "samples": 4}
    digits["general"] = {"sort": "21", "swap": "00", "samples": 2}
    digits["trained"] = {"first": "0000", "all": "2010", "samples": 8}
    found = on_test(digits)
    assert found.easy.tolist() == [1.0, 0.5, 0.25, 0.0]
    assert {name: values.tolist() for name, values in found.general.items()} == {
        "sort": [1.0, 0.5],
        "swap": [0.0, 0.0],
    }
    assert found.all_abilities == pytest.approx(3 / 8)
    assert found.trained == 0.5
    del digits["trained"]
    assert on_test(digits).trained is None


def test_problems_are_paired_whatever_the_order_of_abilities() -> None:
    digits = digits_of(0.0, 1.0, problems=2)
    digits["general"] = {"sort": "10", "swap": "01", "samples": 1}
    turned = {**digits, "general": {"swap": "01", "sort": "10", "samples": 1}}
    assert on_test(digits).retained.tolist() == on_test(turned).retained.tolist()


def test_easy_and_general_weigh_the_same_whatever_their_numbers() -> None:
    digits = digits_of(0.0, 1.0, problems=4)
    digits["easy"] = {"chain": "00", "samples": 1}
    assert on_test(digits).retained.mean() == pytest.approx(0.5)


def test_the_loss_is_that_against_the_runs_own_starting_policy() -> None:
    summaries = [*bases(1.0, 0.9), finished(cell("repo", 1), hard=0.5, kept=0.8)]
    (run,) = runs_of(summaries)
    assert run.retention_loss() == pytest.approx(0.1)
    assert run.hard_gain() == pytest.approx(0.5)
    assert run.forgets
    assert run.utilisation == 1.0


def test_gain_and_loss_are_differences_at_the_step_that_is_asked_for() -> None:
    two = {"35": digits_of(0.75, 0.975), "40": digits_of(0.5, 0.9)}
    base = finished(base_cell("good", 0), hard=0.25)
    (run,) = runs_of([base, finished(cell("repo"), test=two)])
    assert (run.hard_gain(), run.hard_gain(35)) == pytest.approx((0.25, 0.5))
    assert (run.retention_loss(), run.retention_loss(35)) == pytest.approx((0.1, 0.025))
    assert run.equal_prompts is run.tests[40]
    assert run.policy == "weights-good-0"


def test_a_run_is_unstable_that_collapses_or_forgets() -> None:
    falls = [
        {"step": s, "hard": hard, "easy": 1.0, "general": 1.0}
        for s, hard in ((0, 0.0), (20, 0.2), (40, 0.1))
    ]
    norms = {"grad_norm": [0.1] * 10 + [1.1, 0.1]}
    runs = runs_of(
        [
            *bases(1.0, 1.0, 1.0),
            finished(cell("c", 2), kept=1.0, curve=falls),
            finished(cell("b", 1), kept=0.9, series=norms),
            finished(cell("a", 1), kept=0.975),
            finished(cell("a", 0), kept=0.975),
        ]
    )
    assert [(run.cell["arm"], run.cell["seed"]) for run in runs] == [
        *(("a", 0), ("a", 1), ("b", 1), ("c", 2))
    ]
    events = [(run.collapses, run.forgets, run.unstable) for run in runs[1:]]
    assert events == [(False, False, False), (False, True, True), (True, False, True)]
    assert [run.spikes for run in runs] == [0, 0, 1, 0]


def test_a_run_without_its_starting_policy_is_left_for_later() -> None:
    assert runs_of([*bases(1.0), finished(cell("repo", 1))]) == []


def test_runs_of_the_sweep_do_not_count() -> None:
    sweep = swept(Cell("repo", "mixed", "alien", "good", 60, 1e-4, sweep=True), 0.5)
    assert runs_of([*bases(1.0), sweep]) == []


def test_an_arm_without_expert_is_in_the_conditions_of_both() -> None:
    runs = runs_of([*bases(1.0), finished(cell("grpo", 0, ANY)), finished(cell("repo", 0, "near"))])
    assert [r.cell["arm"] for r in matching(runs, expert="alien")] == ["grpo"]
    assert [r.cell["arm"] for r in matching(runs, expert="near")] == ["grpo", "repo"]
    assert matching(runs, expert="near", protocol="hard") == []


def test_tables_look_at_the_steps_that_are_equal() -> None:
    two = {"20": digits_of(0.2, 1.0), "40": digits_of(0.4, 1.0)}
    staged = finished(cell("sft_then_rl"), test=two, first_steps=20)
    early = {"35": digits_of(0.3, 1.0), "40": digits_of(0.4, 1.0)}
    repo = finished(cell("repo"), test=early)
    rewriting, after = runs_of([*bases(1.0), repo, staged])
    assert (after.step_of_equal_prompts, after.step_of_equal_tokens) == (20, 40)
    assert (rewriting.step_of_equal_prompts, rewriting.step_of_equal_tokens) == (40, 35)
    assert rewriting.tokens(35) == 3500


@pytest.mark.parametrize(
    ("hard", "kept", "expected"),
    [
        ((0.0, 0.5, 0.9), (1.0, 1.0, 1.0), False),
        ((0.0, 0.5, 0.25), (1.0, 1.0, 1.0), True),
        ((0.0, 0.5, 0.26), (1.0, 1.0, 1.0), False),
        ((0.0, 0.0, 0.0), (1.0, 0.8, 1.0), True),  # a fall that mends itself is one too
        ((0.0, 0.0, 0.0), (1.0, 0.81, 0.81), False),
    ],
)
def test_collapse(hard, kept, expected) -> None:
    points = [{"hard": h, "easy": k, "general": k} for h, k in zip(hard, kept, strict=True)]
    assert collapses(points, points[0]) is expected


def test_a_collapse_in_a_first_stage_is_seen_from_the_starting_policy() -> None:
    curve = [{"step": s, "hard": 0.0, "easy": 0.5, "general": 1.0} for s in (0, 40)]
    staged = finished(cell("sft_then_rl"), first_steps=20, curve=curve)
    plain = finished(cell("grpo"))
    (alone,) = runs_of([*bases(1.0), staged])
    assert not alone.collapses, "nothing says what the starting policy could do"
    _, after = runs_of([*bases(1.0), plain, staged])
    assert after.collapses


def test_spikes_stand_out_of_the_steps_before_and_of_the_clipping_norm() -> None:
    assert spikes([0.1] * 10 + [0.9]) == 0
    assert spikes([0.1] * 10 + [1.1]) == 1
    assert spikes([0.3] * 10 + [1.4]) == 0
    assert spikes([0.3] * 10 + [1.6]) == 1
    assert spikes([0.1] * 10 + [1.0]) == spikes([0.5] * 10 + [2.5]) == 0  # not above
    assert spikes([0.1] * 9 + [9.0]) == 0  # nothing to compare with yet
    assert spikes([None] * 10 + [1.1]) == 1
    assert np.isclose(spikes([]), 0)


def test_a_validated_step_costs_what_the_step_before_it_did() -> None:
    seconds = [1.0, 2.0, 2.1, 3.1]
    curve = [{"step": s, "hard": 0.0, "easy": 1.0, "general": 1.0} for s in (0, 3)]
    (run,) = runs_of([*bases(1.0), finished(cell("repo"), cpu_s_by_step=seconds, curve=curve)])
    assert run.cpu_seconds == pytest.approx([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("validated", "expected"),
    [((0, 1, 4), [5.0, 6.0, 8.0, 10.0]), ((0, 2), [5.0, 10.0, 12.0, 21.0])],
)
def test_a_first_step_costs_what_it_cost_and_a_last_one_what_the_one_before_did(
    validated, expected
) -> None:
    curve = [{"step": s, "hard": 0.0, "easy": 1.0, "general": 1.0} for s in validated]
    seconds = [5.0, 6.0, 8.0, 17.0]
    (run,) = runs_of([*bases(1.0), finished(cell("repo"), cpu_s_by_step=seconds, curve=curve)])
    assert run.cpu_seconds == pytest.approx(expected)
