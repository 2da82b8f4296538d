"""Run directories: what is written comes back, and a killed run stays readable."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from rephrase_rl.errors import CheckpointError
from rephrase_rl.records import CandidateRecord, GroupRecord, MemberRecord, StepRecord
from rephrase_rl.runs import RunDirectory, TimingRecord


def make_group(step: int, name: str = "p0") -> GroupRecord:
    member = MemberRecord("1+1=3", "rollout", 0.0, math.nan, -0.5, 5, True)
    return GroupRecord(
        step=step,
        rank=0,
        problem_id=name,
        question="1+1=",
        reference_answer="2",
        expert_solution=None,
        failure_fraction=math.nan,
        gate_open=False,
        gate_reason="no_expert",
        members=(member, member),
        candidates=(
            CandidateRecord("t", "raw", "rephrase", 1.0, 1.0, 1, 1, True, False, ("why",), ()),
        ),
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", {"seed": 1}, "method: repo\nsteps: 3\n")


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_what_is_written_comes_back(run):
    run.append_step(StepRecord(0, {"loss": 0.5, "reward": math.nan}))
    run.append_timing(0, {"time/step_s": 1.25})
    run.append_groups([make_group(0, "a"), make_group(0, "b")])
    run.write_evaluation(1, "hard", {"num_problems": 2}, iter([{"n": 0}, {"n": 1}]))
    run.write_summary({"wall_s": 3.0, "bad": math.nan})

    again = RunDirectory.open(run.path)

    assert again.manifest == {"seed": 1}
    assert again.config == {"method": "repo", "steps": 3}
    assert again.config_yaml == "method: repo\nsteps: 3\n"
    assert again.steps() == [StepRecord(0, {"loss": 0.5, "reward": None})]
    assert again.timings() == [TimingRecord(0, {"time/step_s": 1.25})]
    groups = list(again.groups())
    assert [group.problem_id for group in groups] == ["a", "b"]
    assert math.isnan(groups[0].failure_fraction)
    assert math.isnan(groups[0].members[0].correctness)
    assert groups[0].candidates == make_group(0).candidates
    (entry,) = again.evaluations()
    assert (entry.step, entry.benchmark, entry.result) == (1, "hard", {"num_problems": 2})
    assert list(entry.samples()) == [{"n": 0}, {"n": 1}]
    assert again.summary == {"wall_s": 3.0, "bad": None}
    assert again.checkpoints == run.path / "checkpoints"
    assert again.report == run.path / "report"


def test_a_new_run_is_readable_before_its_first_step(run):
    assert run.steps() == []
    assert run.timings() == []
    assert list(run.groups()) == []
    assert run.evaluations() == []
    assert run.summary is None
    assert run.checkpoints.is_dir()


def test_equal_records_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        run = RunDirectory.create(tmp_path / name, {}, "")
        run.append_step(StepRecord(0, {"loss": 0.1, "z": 1 / 3, "a": math.nan}))

    one, two = ((tmp_path / name / "steps.jsonl").read_bytes() for name in ("a", "b"))
    assert one == two


# ------------------------------------------------------------------ killed runs


def test_a_killed_run_can_be_read_and_goes_on(run):
    run.append_step(StepRecord(0, {"loss": 1.0}))
    for name in ("steps", "timings", "groups"):
        with (run.path / f"{name}.jsonl").open("ab") as file:
            file.write(b'{"step": 1, "metr')

    again = RunDirectory.open(run.path)
    assert [record.step for record in again.steps()] == [0]
    again.append_step(StepRecord(1, {"loss": 2.0}))
    again.append_groups([make_group(1)])

    assert [record.step for record in again.steps()] == [0, 1]
    assert [group.step for group in again.groups()] == [1]


def test_an_evaluation_killed_before_its_result_does_not_count(run, monkeypatch):
    run.write_evaluation(5, "hard", {"mean": 0.1}, [{"n": 0}])
    real = os.replace

    def die_at_result(source, target):
        if Path(target).name == "result.json":
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", die_at_result)
    with pytest.raises(KeyboardInterrupt):
        run.write_evaluation(5, "hard", {"mean": 0.9}, [{"n": 1}])

    # Neither the new samples beside the old result nor the other way round.
    assert run.evaluations() == []


def test_an_evaluation_whose_samples_fail_does_not_count(run):
    def samples():
        yield {"n": 0}
        raise RuntimeError("engine")

    with pytest.raises(RuntimeError, match="engine"):
        run.write_evaluation(0, "hard", {}, samples())

    assert run.evaluations() == []


def test_a_creation_killed_before_the_manifest_can_be_repeated(tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / ".manifest.json.tmp").write_text("{")
    (folder / "config.yaml").write_text("a: 1")

    with pytest.raises(CheckpointError, match=r"no manifest\.json"):
        RunDirectory.open(folder)
    run = RunDirectory.create(folder, {"seed": 2}, "b: 2", overwrite=True)

    assert run.config == {"b": 2}


# ------------------------------------------------------------------ create and open


def test_create_refuses_a_folder_with_a_run(run):
    with pytest.raises(
        CheckpointError, match=r"is not empty; required: a new folder .*--overwrite"
    ):
        RunDirectory.create(run.path, {}, "")

    assert RunDirectory.open(run.path).manifest == {"seed": 1}


def test_create_takes_an_empty_folder(tmp_path):
    assert RunDirectory.create(tmp_path, {"a": 1}, "").manifest == {"a": 1}


def test_create_overwrites_a_run_when_told_and_keeps_other_files(run):
    run.append_step(StepRecord(0, {}))
    run.write_evaluation(0, "hard", {}, [])
    (run.path / "notes.txt").write_text("mine")

    fresh = RunDirectory.create(run.path, {"seed": 2}, "", overwrite=True)

    assert fresh.steps() == []
    assert fresh.evaluations() == []
    assert (run.path / "notes.txt").read_text() == "mine"
    assert names(run.path) == {"manifest.json", "config.yaml", "evals", "checkpoints", "notes.txt"}


def test_create_never_overwrites_a_folder_that_is_no_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(CheckpointError, match=r"holds thesis\.tex and no manifest\.json"):
        RunDirectory.create(tmp_path, {}, "", overwrite=True)

    assert names(tmp_path) == {"thesis.tex"}


def test_create_refuses_a_file(tmp_path):
    (tmp_path / "run").write_text("")

    with pytest.raises(CheckpointError, match="is a file"):
        RunDirectory.create(tmp_path / "run", {}, "")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, r"has no manifest\.json, so it is not a run directory"),
        (b'{"seed": ', "is not JSON"),
        (b"[]", "the whole is list"),
    ],
)
def test_open_says_what_is_wrong(tmp_path, manifest, message):
    if manifest is not None:
        (tmp_path / "manifest.json").write_bytes(manifest)

    with pytest.raises(CheckpointError, match=message):
        RunDirectory.open(tmp_path)


def test_open_names_a_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such folder"):
        RunDirectory.open(tmp_path / "nowhere")


def test_a_missing_or_broken_config_is_named(run):
    (run.path / "config.yaml").write_text("a: [")
    with pytest.raises(CheckpointError, match="is not YAML"):
        _ = run.config
    (run.path / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"config\.yaml is missing"):
        _ = run.config


# ------------------------------------------------------------------ writing rules


def test_steps_only_grow(run):
    run.append_step(StepRecord(3, {}))
    again = RunDirectory.open(run.path)

    with pytest.raises(CheckpointError, match=r"reaches step 3 and step 3 .* rewind\(3\)"):
        again.append_step(StepRecord(3, {}))
    again.append_step(StepRecord(4, {}))

    assert [record.step for record in again.steps()] == [3, 4]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_benchmark_name_that_cannot_name_a_folder_is_refused(run, name):
    with pytest.raises(CheckpointError, match="it names a folder"):
        run.write_evaluation(0, name, {}, [])


def test_evaluations_are_sorted_by_number_of_steps(run):
    for step in (100, 9, 20):
        run.write_evaluation(step, "hard", {"step": step}, [])

    assert [entry.step for entry in run.evaluations()] == [9, 20, 100]


def test_a_repeated_evaluation_replaces_the_earlier_one(run):
    run.write_evaluation(1, "hard", {"mean": 0.1}, [{"n": 0}])
    run.write_evaluation(1, "hard", {"mean": 0.2}, [{"n": 1}])

    (entry,) = run.evaluations()
    assert entry.result == {"mean": 0.2}
    assert list(entry.samples()) == [{"n": 1}]


def test_the_manifest_can_be_completed_later(run):
    run.update_manifest({"data": {"hard": "ab"}})

    assert RunDirectory.open(run.path).manifest == {"seed": 1, "data": {"hard": "ab"}}
    assert json.loads((run.path / "manifest.json").read_bytes())["seed"] == 1


def test_rewind_goes_back_to_a_checkpoint(run):
    for step in range(4):
        run.append_step(StepRecord(step, {"loss": float(step)}))
        run.append_timing(step, {})
        run.append_groups([make_group(step), make_group(step)])
    for step in (0, 2, 4):
        run.write_evaluation(step, "hard", {"step": step}, [])
    with (run.path / "groups.jsonl").open("ab") as file:
        file.write(b'{"torn')
    before = (run.path / "steps.jsonl").read_bytes()

    report = run.rewind(2)

    assert (report.steps, report.timings, report.groups, report.evaluations) == (2, 2, 4, 1)
    assert [record.step for record in run.steps()] == [0, 1]
    assert [group.step for group in run.groups()] == [0, 0, 1, 1]
    # An evaluation after two steps belongs to the state that is kept.
    assert [entry.step for entry in run.evaluations()] == [0, 2]
    for step in (2, 3):
        run.append_step(StepRecord(step, {"loss": float(step)}))
    assert (run.path / "steps.jsonl").read_bytes() == before
