"""A folder in which nothing was done stands in nobody's way; one that holds anything does."""

from __future__ import annotations

from pathlib import Path

import pytest

from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import RunDirectory
from rephrase_rl.runs.beginning import is_bare, removed_if_bare


def begin_and_fail(path: Path, overwrite: bool, does) -> None:
    with removed_if_bare(path):
        run = RunDirectory.create(path, {"seed": 0}, "{}\n", overwrite)
        does(run)
        raise RuntimeError("late")


def fail_in(path: Path, *, overwrite: bool = False, does=lambda run: None) -> None:
    """A run that fails after it has done something."""
    with pytest.raises(RuntimeError, match="late"):
        begin_and_fail(path, overwrite, does)


def test_a_run_that_fails_before_anything_is_done_leaves_no_folder(tmp_path) -> None:
    path = tmp_path / "run"
    fail_in(path)
    assert not path.exists()
    fail_in(path)  # the same command again is not refused
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    (path / "manifest.json").write_text("{}")
    fail_in(path, overwrite=True)
    assert [file.name for file in path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "does",
    [
        lambda run: run.write_evaluation(0, "hard", {}, []),
        lambda run: (run.path / "groups.jsonl").write_text("{}\n"),
        lambda run: (run.path / "refused").mkdir() or (run.path / "refused" / "x").touch(),
        lambda run: (run.checkpoints / "final").mkdir() or (run.checkpoints / "final/w").touch(),
    ],
)
def test_what_was_done_stays(tmp_path, does) -> None:
    path = tmp_path / "run"
    fail_in(path, does=does)
    assert (path / "manifest.json").is_file()
    assert not is_bare(path)


def test_a_run_that_was_there_before_stays(tmp_path) -> None:
    path = tmp_path / "run"
    RunDirectory.create(path, {"seed": 0}, "{}\n")
    told = "in which nothing was done yet"
    with pytest.raises(CheckpointError, match=told), removed_if_bare(path):
        RunDirectory.create(path, {"seed": 1}, "{}\n")
    assert RunDirectory.open(path).manifest["seed"] == 0


def test_only_ways_that_are_open_are_named(tmp_path) -> None:
    path = tmp_path / "run"
    run = RunDirectory.create(path, {"seed": 0}, "{}\n")

    def refusal() -> str:
        with pytest.raises(CheckpointError) as raised:
            RunDirectory.create(path, {"seed": 0}, "{}\n")
        return str(raised.value)

    (path / "steps.jsonl").write_text("{}\n")
    assert "without a checkpoint" in refusal()
    assert "--resume" not in refusal()
    (run.checkpoints / "checkpoint-3").mkdir()
    assert "--resume" in refusal()
    assert "--overwrite" in refusal()
    (path / "manifest.json").unlink()
    assert "--" not in refusal().replace("--set output_dir", "")
