"""The shipped policies meet the bars of the lab."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from rephrase_rl.errors import DataError
from rephrase_rl.lab.bars import BARS_FILE, LabBars, measure_bars
from rephrase_rl.lab.families import AB, own_solution
from rephrase_rl.lab.policies import policy_names, policy_path
from rephrase_rl.lab.problems import easy_problems, hard_problems, is_right
from rephrase_rl.lab.sampling import Policy
from rephrase_rl.lab.tokenizer import rewrite_prompt
from rephrase_rl.studies.policies import is_there

RESULTS = Path(__file__).parents[2] / "results"
AB_BASE = RESULTS / "ab" / "policies" / "ab-base-0"

GOOD = LabBars(
    policy="made up",
    split="check",
    seed=0,
    easy_accuracy={"3": 1.0, "4": 0.99},
    hard_rollouts=20_000,
    hard_success=0.0005,
    failed_groups=0.99,
    rewriting={"alien": 0.95, "near": 0.97},
    abilities={"sort": 0.95},
    highest_chance=0.001,
    expert_nll={"alien": 3.0, "near": 1.5},
    own_nll=0.5,
    own_nll_easy=0.01,
)


def test_bars_at_their_limits_are_met() -> None:
    assert GOOD.failures() == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"easy_accuracy": {"3": 0.98}}, "easy accuracy, level 3"),
        ({"hard_success": 0.0006}, "hard success"),
        ({"failed_groups": 0.98}, "all-failed groups"),
        ({"rewriting": {"alien": 0.94}}, "rewriting, alien"),
        ({"abilities": {"sort": 0.9}}, "ability sort"),
        ({"highest_chance": 0.002}, "chance"),
        ({"expert_nll": {"alien": 2.9, "near": 1.0}}, "NLL of alien"),
        ({"expert_nll": {"alien": 3.0, "near": 0.4}}, "NLL of near"),
        ({"expert_nll": {"alien": 3.0, "near": 1.6}}, "NLL of near"),
        ({"own_nll": 0.6}, "NLL of own style"),
        ({"own_nll": float("nan")}, "NLL of own style"),
        ({"poor_rewriter": True}, "rewriting, alien"),
    ],
)
def test_a_missed_bar_is_named(change: dict[str, object], named: str) -> None:
    failures = dataclasses.replace(GOOD, **change).failures()  # type: ignore[arg-type]
    assert failures
    assert named in failures[0]


def test_a_poor_rewriter_has_its_own_range() -> None:
    poor = dataclasses.replace(GOOD, rewriting={"alien": 0.3, "near": 0.6}, poor_rewriter=True)
    assert poor.failures() == []


def test_own_solution_is_right() -> None:
    for problem in hard_problems(50, split="test", seed=0):
        assert is_right(problem, own_solution(problem))


def test_likelihood_of_a_sure_and_of_an_impossible_text() -> None:
    policy = Policy(policy_path(), seed=0)
    problem = easy_problems(1, split="test", seed=0)[0]
    sure, impossible = policy.token_nlls(
        [(problem.question, own_solution(problem)), (problem.question, "zzz")]
    )
    # One value for each character and one for the end token.
    assert len(sure) == len(own_solution(problem)) + 1
    assert len(impossible) == 4
    assert max(sure) < 1.0 < impossible[0]


def test_sampling_is_seeded() -> None:
    prompts = [problem.question for problem in hard_problems(64, split="test", seed=0)]
    one, same, other = (Policy(policy_path(), seed).sample(prompts) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_shipped_base_in_short() -> None:
    """All bars with fewer samples; the full measurement is the slow test and ``bars.json``.

    With 150 samples a share of 0.99 shows at least 0.95 with probability 0.999, and the bars that
    the base meets with room have room here too.
    """
    bars = measure_bars(policy_path(), hard_rollouts=1000, samples=150, seed=1)
    assert bars.hard_success <= 0.002
    relaxed = dataclasses.replace(
        bars,
        hard_success=0.0,
        failed_groups=1.0,
        easy_accuracy={k: v + 0.04 for k, v in bars.easy_accuracy.items() if v < 0.99},
    )
    assert relaxed.failures() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", policy_names())
def test_shipped_policies_in_full(name: str) -> None:
    bars = measure_bars(policy_path(name), seed=2, poor_rewriter=name == "poor_rewriter")
    assert bars.hard_rollouts >= 20_000
    assert bars.failures() == []


@pytest.mark.parametrize("name", policy_names())
def test_shipped_measurement_is_of_this_policy_and_met(name: str) -> None:
    measured = LabBars(**json.loads((policy_path(name) / BARS_FILE).read_text()))
    assert measured.policy == name
    assert measured.hard_rollouts >= 20_000
    assert measured.failures() == []


def test_stored_base_of_the_second_family_is_measured() -> None:
    """It misses one bar, and docs/lab.md says so."""
    measured = LabBars(**json.loads((AB_BASE / BARS_FILE).read_text()))
    assert (measured.policy, measured.family) == (AB_BASE.name, "ab")
    assert measured.hard_rollouts >= 20_000
    (missed,) = measured.failures()
    assert missed.startswith("rewriting, alien expert is 0.922")


def test_the_stored_base_of_the_second_family_is_that_of_its_runs() -> None:
    digest = hashlib.sha256((AB_BASE / "model.safetensors").read_bytes()).hexdigest()
    runs = [json.loads(path.read_text()) for path in (RESULTS / "ab" / "runs").glob("*.json")]
    assert {run["cell"]["arm"] for run in runs} == {"base", "grpo", "repo"}
    assert {run["policy"]["sha256"] for run in runs} == {digest}
    assert is_there(AB_BASE.parent, "good", 0, "ab")  # made with the settings of today


def test_the_base_of_the_second_family_solves_easy_programs_and_rewrites_hard_ones() -> None:
    """In short; with 60 samples a share of 0.95 shows at least 0.83 with probability 0.999."""
    policy = Policy(AB_BASE, seed=1, family=AB)
    easy = easy_problems(60, split="check", seed=2, family=AB)
    hard = hard_problems(60, split="check", seed=2, expert="near", family=AB)
    asked = [rewrite_prompt(p.question, p.expert_solution or "") for p in hard]
    for problems, texts in (
        (easy, policy.sample([p.question for p in easy])),
        (hard, policy.sample(asked)),
    ):
        right = [is_right(p, text) for p, text in zip(problems, texts, strict=True)]
        assert sum(right) / len(right) >= 0.83
    assert not any(
        is_right(p, text)
        for p, text in zip(hard, policy.sample([p.question for p in hard]), strict=True)
    )


def test_shipped_policies_are_small() -> None:
    total = sum(
        path.stat().st_size for name in policy_names() for path in policy_path(name).iterdir()
    )
    assert total <= 6_000_000


def test_unknown_policy_is_an_error_that_names_the_others() -> None:
    with pytest.raises(DataError, match="base"):
        policy_path("better")
