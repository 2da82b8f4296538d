"""Weaknesses that a run's own records tell of, each as one sentence."""

from __future__ import annotations

import pytest
from synthetic_run import group, make_run, member, result

from rephrase_rl.records import StepRecord
from rephrase_rl.reports.budgets import measure_budget
from rephrase_rl.reports.evaluations import read_evaluations
from rephrase_rl.reports.group_tally import tally_groups
from rephrase_rl.reports.known_faults import known_faults


def faults_of(run) -> str:
    steps, evaluations, tally = run.steps(), read_evaluations(run), tally_groups(run)
    budget = measure_budget(run, steps, evaluations, tally)
    return "\n".join(known_faults(run, steps, evaluations, tally, budget))


def clean_run(path):
    run = make_run(path)
    (run.path / "groups.jsonl").unlink()  # a tenth of its rollouts are cut off
    for name in ("hard", "easy"):
        run.write_evaluation(9, name, result(name, 0.5, unscorable={"timeout": 0}), [])
    return run


def test_a_clean_run_is_one_run_and_no_more(tmp_path):
    found = faults_of(clean_run(tmp_path / "run"))
    assert found.splitlines() == [
        "One run: another seed gives other figures; `rephrase-rl compare` takes several together."
    ]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"git": {"commit": "ab", "dirty": True}}, "uncommitted changes"),
        ({"git": {"commit": None, "reason": "no git"}}, "commit is not known (no git)"),
        ({"environment": {"differing": ["trl 1.17"]}}, "1 packages are not of the tested version"),
        ({"resumed": [{"after_step": 3}, {"after_step": 5}]}, "resumed, after step 3, 5"),
        ({"datasets": {"train/a": {"kind": "hub", "revision": None}}}, "without a revision"),
        ({"contamination": {"b": {"equal_questions": 3, "of": 40}}}, "3 of the 40 questions of b"),
    ],
)
def test_entries_of_the_manifest(tmp_path, entries, sentence):
    run = clean_run(tmp_path / "run")
    run.update_manifest(entries)
    assert sentence in faults_of(run)


def test_what_happened_in_training_and_evaluation(tmp_path):
    run = clean_run(tmp_path / "run")
    run.append_step(StepRecord(7, {"guard/refused": 1.0, "reward": 0.5}))
    cut = [member("a", 0.0, 0.0, finished=False)] * 12
    unscored = [member("a", float("nan"), 0.0)] * 3
    run.append_groups([group(7, "cut", members=(*cut, *unscored))])
    run.write_summary({"wall_s": 1.0, "constant_reward": "0 in 40 groups"})
    run.write_evaluation(9, "hard", result("hard", 0.5, truncated_fraction=0.4), [])
    found = faults_of(run)
    for sentence in (
        "1 steps were refused",
        "The reward never differed: 0 in 40 groups.",
        "3 of 15 rollouts could not be scored.",
        "80% of the rollouts were cut off",
        "1 of 5 steps have no count of tokens.",
        "2 samples of hard could not be scored.",
        "40% of the samples of hard were cut off",
    ):
        assert sentence in found, sentence


def test_odd_entries_are_passed_over(tmp_path):
    run = clean_run(tmp_path / "run")
    run.update_manifest({"environment": 3, "datasets": [1], "contamination": "x", "resumed": 5})
    assert len(faults_of(run).splitlines()) == 1
