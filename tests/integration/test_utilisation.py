"""Hard-sample utilisation: which problems are asked, of whom, and what is stored.

The lab's base policy solves easy problems nearly always. A run that claims to have failed them at
first, and to have started from the base with its weights set to zero, therefore has a known gain.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from rephrase_rl.assembly import load_data
from rephrase_rl.assembly.utilisation import hard_sample_utilisation
from rephrase_rl.config import DataConfig, dump_config, parse_config
from rephrase_rl.errors import CheckpointError, ConfigError, DataError
from rephrase_rl.lab.policies import policy_path
from rephrase_rl.methods import resolve_config
from rephrase_rl.records import GroupRecord, StepRecord
from rephrase_rl.reports import write_report
from rephrase_rl.rollout import load_policy
from rephrase_rl.runs import RunDirectory

pytestmark = pytest.mark.integration

PROBLEMS = load_data(DataConfig(path="lab:easy", limit=6))


def group(step: int, index: int, failed: float, **changes: Any) -> GroupRecord:
    values: dict[str, Any] = {
        "problem_id": PROBLEMS[index].problem_id,
        "question": PROBLEMS[index].question,
    }
    return GroupRecord(
        step=step,
        rank=0,
        reference_answer="",
        expert_solution=None,
        failure_fraction=failed,
        gate_open=False,
        gate_reason="closed",
        members=(),
        **(values | changes),
    )


# Problems 0, 2, 3 and 4 began all failed; 0 was visited twice, 5 was never scored.
GROUPS = [
    group(0, 0, 1.0),
    group(0, 1, 0.5),
    group(0, 2, 1.0),
    group(1, 0, 1.0),
    group(1, 1, 1.0),
    group(1, 3, 1.0),
    group(2, 2, 0.0),
    group(2, 4, 1.0),
    group(2, 5, math.nan),
]
HARD = [PROBLEMS[index].problem_id for index in (0, 2, 3, 4)]


@pytest.fixture(scope="module")
def ignorant(tmp_path_factory) -> Path:
    """The base policy knowing nothing."""
    folder = tmp_path_factory.mktemp("ignorant")
    policy = load_policy(str(policy_path("base")), dtype="float32")
    for parameter in policy.model.parameters():
        parameter.data.zero_()
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


def make_run(path: Path, *, start: str = "lab:base", **changes: Any) -> RunDirectory:
    """A finished run whose final policy is the base."""
    raw: dict[str, Any] = {
        "method": "repo",
        "model": {"path": start, "dtype": "float32"},
        "data": {"path": "lab:easy", "limit": 6},
        "seed": 3,
        "trainer": {"max_completion_length": 40, "temperature": 0.75},
    }
    groups = changes.pop("groups", GROUPS)
    config = resolve_config(parse_config(raw | changes))
    run = RunDirectory.create(path, {"seed": 3}, dump_config(config))
    run.append_groups(groups)
    for step in range(3):
        run.append_step(StepRecord(step, {"reward": 0.5}))
    shutil.copytree(policy_path("base"), path / "checkpoints" / "final")
    return run


@pytest.fixture(scope="module")
def measured(tmp_path_factory, ignorant):
    run = make_run(tmp_path_factory.mktemp("run") / "a", start=str(ignorant))
    calls: list[tuple[str, int, int]] = []
    found = hard_sample_utilisation(run.path, 2, on_progress=lambda *call: calls.append(call))
    return run, found, calls


def stored(run: RunDirectory) -> dict[int, Any]:
    return {e.step: e for e in run.evaluations() if e.benchmark == "hard-sample-utilisation-k2"}


def test_the_gain_is_the_final_policys_over_the_starting_one(measured) -> None:
    _, found, _ = measured
    assert (found.num_problems, found.num_hard_problems) == (4, 4)
    assert (found.samples_per_problem, found.step, found.seed) == (2, 3, 3)
    assert (found.solved.mean, found.base_solved.mean, found.solved_gain.mean) == (1.0, 0.0, 1.0)
    assert found.accuracy.mean > 0.7
    assert found.accuracy_gain.mean == pytest.approx(found.accuracy.mean - 0.0)
    assert {found.solved_gain.method, found.accuracy_gain.method} == {"bootstrap"}
    assert (found.solved_gain.n_clusters, found.solved_gain.confidence) == (4, 0.95)


def test_each_hard_problem_is_asked_once_with_equal_draws(measured) -> None:
    run, _, calls = measured
    for entry in stored(run).values():
        assert [row["problem_id"] for row in entry.samples()] == [n for n in HARD for _ in range(2)]
    assert {call[0] for call in calls} == {"start", "final"}
    assert calls[-1] == ("final", 8, 8)


def test_both_are_stored_under_the_protocol_of_training(measured) -> None:
    run, found, _ = measured
    before, after = stored(run)[0], stored(run)[3]
    assert before.result["protocol"] == after.result["protocol"]
    protocol = after.result["protocol"]
    assert (protocol["temperature"], protocol["max_new_tokens"]) == (0.75, 40)
    assert (protocol["verifier"], protocol["solve_template"]) == ("exact", "lab-solve-v1")
    assert len(protocol["problems"]) == 64  # a comparison of runs sees other problems
    assert after.result["utilisation"]["solved"]["mean"] == found.solved.mean
    assert after.result["pass_at_k"]["2"]["mean"] == found.solved.mean
    assert "utilisation" not in before.result


def test_the_report_shows_it(measured) -> None:
    run, _, _ = measured
    page = write_report(run.path).index.read_text()
    assert "Hard-sample utilisation at step 3" in page
    assert "4 of the 4 problems" in page


def test_equal_weights_gain_exactly_nothing(tmp_path) -> None:
    run = make_run(tmp_path / "a")
    found = hard_sample_utilisation(run.path, 2, seed=5, limit=3)
    assert (found.num_problems, found.num_hard_problems, found.seed) == (3, 4, 5)
    assert (found.solved_gain.mean, found.accuracy_gain.mean) == (0.0, 0.0)
    assert found.accuracy == found.base_accuracy


def test_a_problem_is_solved_if_any_of_its_draws_passes(tmp_path) -> None:
    hot = {"max_completion_length": 40, "temperature": 2.0}
    run = make_run(tmp_path / "a", trainer=hot)
    found = hard_sample_utilisation(run.path, 2)
    draws: dict[str, list[float]] = {}
    for row in stored(run)[3].samples():
        draws.setdefault(row["problem_id"], []).append(row["value"])
    assert any(len(set(row)) == 2 for row in draws.values()), "no problem tells any from all"
    assert found.solved.mean == sum(max(row) for row in draws.values()) / len(draws)
    assert found.accuracy.mean == sum(sum(row) / 2 for row in draws.values()) / len(draws)


def test_runs_without_what_is_needed_are_refused(tmp_path) -> None:
    kept = make_run(tmp_path / "kept", log={"groups": "open"})
    with pytest.raises(ConfigError, match=r"log\.groups: open"):
        hard_sample_utilisation(kept.path)
    easy = make_run(tmp_path / "easy", groups=[group(0, 0, 0.5), group(1, 0, 1.0)])
    with pytest.raises(DataError, match="no problem whose first group failed"):
        hard_sample_utilisation(easy.path)
    changed = make_run(tmp_path / "changed", groups=[*GROUPS, group(3, 2, 1.0, question="1+1=")])
    with pytest.raises(DataError, match=r"1 of 4 .* ask another question now"):
        hard_sample_utilisation(changed.path)
    gone = make_run(tmp_path / "gone", groups=[group(0, 0, 1.0, problem_id="gone")])
    with pytest.raises(DataError, match="'gone', are missing"):
        hard_sample_utilisation(gone.path)
    unfinished = make_run(tmp_path / "unfinished")
    shutil.rmtree(unfinished.checkpoints / "final")
    with pytest.raises(CheckpointError, match="without a final policy"):
        hard_sample_utilisation(unfinished.path)
    for run in (kept, easy, changed, gone, unfinished):
        assert not stored(run)
