"""Claims are judged by the rules of the plan: synthetic runs whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rephrase_rl.studies.cells import ANY, Cell, base_cell
from rephrase_rl.studies.effects import effect, permutation_p
from rephrase_rl.studies.outcomes import runs_of
from rephrase_rl.studies.verdicts import CLAIMS, Condition, Judged, judged, overall
from study_fakes import finished

HERE = Condition("mixed", "alien", "good")


def runs(arms: dict[str, tuple[float, float]], seeds: int = 5) -> list:
    summaries = [finished(base_cell("good", i)) for i in range(3)]
    summaries += [
        finished(Cell(arm, "mixed", "alien", "good", seed, 1e-4), hard + 0.025 * (seed % 2), kept)
        for arm, (hard, kept) in arms.items()
        for seed in range(seeds)
    ]
    return runs_of(summaries)


def verdict(
    number: int, arms: dict[str, tuple[float, float]], seeds: int = 5, planned: tuple = ()
) -> str:
    made = runs(arms, seeds)
    (found,) = judged(CLAIMS[number - 1], [HERE], (*arms, *planned), made, made)
    return found.verdict


@pytest.mark.parametrize(
    ("sft", "repo", "expected"),
    [(0.5, 1.0, "holds"), (1.0, 1.0, "fails"), (0.95, 1.0, "undecided")],
)
def test_sft_costs_generality(sft, repo, expected) -> None:
    assert verdict(1, {"sft": (0.0, sft), "repo": (0.0, repo)}) == expected


@pytest.mark.parametrize(("hard", "expected"), [(0.0, "holds"), (0.5, "fails")])
def test_on_policy_is_blind(hard, expected) -> None:
    assert verdict(2, {"grpo": (hard, 1.0)}) == expected


def test_off_policy_is_unstable_only_if_both_are() -> None:
    steady = {"luffy": (0.0, 1.0), "naive": (0.0, 1.0), "repo": (0.9, 1.0)}
    assert verdict(3, steady) == "fails"
    assert verdict(3, {**steady, "naive": (0.0, 0.5)}) == "undecided"
    assert verdict(3, {**steady, "naive": (0.0, 0.5), "luffy": (0.0, 0.5)}) == "holds"


def test_repo_wins_over_every_arm_and_keeps_what_it_had() -> None:
    others = {"grpo": (0.0, 1.0), "luffy": (0.2, 1.0)}
    assert verdict(4, {**others, "repo": (0.8, 1.0)}) == "holds"
    assert verdict(4, {**others, "repo": (0.8, 0.5)}) == "fails"
    assert verdict(4, {**others, "repo": (0.1, 1.0)}) == "fails"
    assert verdict(4, {**others, "repo": (0.2, 1.0)}) == "undecided"


def test_claim_4_waits_for_every_arm_of_the_study() -> None:
    won = {"grpo": (0.0, 1.0), "repo": (0.8, 1.0)}
    assert verdict(4, won) == "holds"
    assert verdict(4, won, planned=("rewrite_sft",)) == "too few runs"
    lost = {"grpo": (0.9, 1.0), "repo": (0.8, 1.0)}
    assert verdict(4, lost, planned=("rewrite_sft",)) == "fails"


def test_fewer_than_five_runs_of_an_arm_get_no_verdict() -> None:
    assert verdict(4, {"grpo": (0.0, 1.0), "repo": (0.8, 1.0)}, seeds=4) == "too few runs"
    assert verdict(4, {"grpo": (0.0, 1.0), "repo": (0.8, 1.0)}, seeds=1) == "not run"
    steady = dict.fromkeys(("luffy", "naive", "repo"), (0.0, 1.0))
    assert verdict(3, steady, seeds=3) == "too few runs"


def test_p_values_are_corrected_within_a_claim() -> None:
    made = runs({"grpo": (0.0, 1.0), "luffy": (0.0, 1.0), "repo": (0.8, 1.0)})
    (found,) = judged(CLAIMS[3], [HERE], (), made, made)
    corrected = [one.p_value for one in found.effects if one.p_value is not None]
    assert corrected == pytest.approx([2 * 2 / 252] * 2)


def test_each_starting_policy_counts_once_in_the_second_interval() -> None:
    levels = {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.4}  # seed 3 starts from the policy of seed 0
    summaries = [finished(base_cell("good", i)) for i in range(3)]
    summaries += [
        finished(Cell("grpo", "mixed", ANY, "good", seed, 1e-4), hard)
        for seed, hard in levels.items()
    ]
    made = runs_of(summaries)
    (found,) = judged(CLAIMS[1], [HERE], (), made, made)
    (one,) = found.effects
    assert one.difference == pytest.approx(0.4)
    # Means 0.3, 0.4, 0.6: mean 0.4333, standard error 0.0882, t with two degrees of freedom 4.303.
    assert one.over_policies == pytest.approx((0.4333 - 0.3795, 0.4333 + 0.3795), abs=1e-3)
    alone = [run for run in made if run.policy == "weights-good-0"]
    (found,) = judged(CLAIMS[1], [HERE], (), alone, alone)
    assert all(map(math.isnan, found.effects[0].over_policies))


def test_the_overall_verdict_says_what_it_rests_on() -> None:
    some = effect("x", [np.zeros(3)] * 4, [np.zeros(3)] * 2)
    rows = {n: Judged(HERE, n, (some,)) for n in ("holds", "fails", "undecided", "not run")}
    few = Judged(HERE, "too few runs", (some,))
    assert overall([rows["not run"]]) == "not run in 1 of 1 conditions"
    assert overall([few, rows["not run"]]) == "too few runs in 1 of 2 conditions, not run in 1"
    for found, words in {
        ("holds", "holds"): "holds in 2 of 2 conditions",
        ("holds", "not run"): "holds in 1 of 2 conditions, not run in 1",
        ("fails", "fails"): "fails in 2 of 2 conditions",
        ("holds", "fails"): "holds only in 1 of 2 conditions, fails in 1",
        ("undecided", "holds"): "holds only in 1 of 2 conditions, undecided in 1",
        ("undecided", "fails"): "fails in 1 of 2 conditions, undecided in 1",
    }.items():
        assert overall([rows[name] for name in found]) == f"{words} (2 runs of an arm at least)"


def test_an_effect_without_other_arm_is_the_difference_to_zero() -> None:
    rows = [np.full(50, 0.2), np.full(50, 0.4)]
    found = effect("x", rows)
    assert found.difference == pytest.approx(0.3)
    assert found.low < 0 < 0.3 < found.high
    assert (found.p_value, found.seeds) == (None, (2, 0))
    assert math.isnan(found.bootstrap_low)


def test_the_bootstrap_stands_beside_the_interval_from_five_runs_on() -> None:
    rows = [np.full(50, 0.1 * i) for i in range(5)]
    found = effect("x", rows)
    assert found.low < found.bootstrap_low < 0.2 < found.bootstrap_high < found.high


def test_permutation_over_runs_is_exact_where_runs_are_few() -> None:
    first, second = np.arange(5) + 10.0, np.arange(5) + 0.0
    assert permutation_p(first, second) == pytest.approx(2 / 252)
    assert permutation_p(second, second) == 1.0
