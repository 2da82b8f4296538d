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


def test_a_run_without_its_starting_policy_is_left_for_later() -> None:
    assert runs_of([*bases(1.0), finished(cell("repo", 1))]) == []


def test_runs_of_the_sweep_do_not_count() -> None:
    sweep = swept(Cell("repo", "mixed", "alien", "good", 60, 1e-4, sweep=True), 0.5)
    assert runs_of([*bases(1.0), sweep]) == []


def test_an_arm_without_expert_is_in_the_conditions_of_both() -> None:
    runs = runs_of([*bases(1.0), finished(cell("grpo", 0, ANY)), finished(cell("repo", 0, "near"))])
    assert [r.cell["arm"] for r in matching(runs, expert="alien")] == ["grpo"]
    assert [r.cell["arm"] for r in matching(runs, expert="near")] == ["grpo", "repo"]


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
    assert spikes([0.1] * 9 + [9.0]) == 0  # nothing to compare with yet
    assert spikes([None] * 10 + [1.1]) == 1
    assert np.isclose(spikes([]), 0)


def test_a_validated_step_costs_what_the_step_before_it_did() -> None:
    seconds = [1.0, 2.0, 2.1, 3.1]
    curve = [{"step": s, "hard": 0.0, "easy": 1.0, "general": 1.0} for s in (0, 3)]
    (run,) = runs_of([*bases(1.0), finished(cell("repo"), cpu_s_by_step=seconds, curve=curve)])
    assert run.cpu_seconds == pytest.approx([1.0, 2.0, 3.0, 4.0])
