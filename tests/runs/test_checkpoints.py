"""Checkpoints are whole or not there, and damage is named before anything is loaded."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import checkpoints


def write(home: Path, step: int, content: str = "weights") -> Path:
    """A checkpoint made in the way that trainers make it."""
    folder = checkpoints.prepare_writing(home) / checkpoints.name_of(step)
    (folder / "deep").mkdir(parents=True)
    (folder / "model.bin").write_text(content)
    (folder / "deep" / "state.json").write_text(f"{step}")
    checkpoints.seal(folder)
    return checkpoints.publish(folder, home)


@pytest.fixture
def home(tmp_path) -> Path:
    for step in (2, 4, 10):
        write(tmp_path, step)
    return tmp_path


def test_sums_are_those_of_every_file_in_coreutils_form(home) -> None:
    lines = (home / "checkpoint-2" / "SHA256SUMS").read_text().splitlines()
    assert lines == [
        f"{hashlib.sha256(b'2').hexdigest()}  deep/state.json",
        f"{hashlib.sha256(b'weights').hexdigest()}  model.bin",
    ]
    if shutil.which("sha256sum"):
        command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        assert subprocess.run(command, cwd=home / "checkpoint-2", check=False).returncode == 0


def test_order_is_that_of_steps_not_of_letters(home) -> None:
    names = [folder.name for folder in checkpoints.all_checkpoints(home)]
    assert names == ["checkpoint-2", "checkpoint-4", "checkpoint-10"]
    assert checkpoints.choose(home).name == "checkpoint-10"
    assert checkpoints.choose(home, "4").name == checkpoints.choose(home, "checkpoint-4").name


def flip_one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: flip_one_bit(folder / "model.bin"), r"model\.bin: its 7 bytes are not"),
        (lambda folder: (folder / "model.bin").write_text("wei"), r"model\.bin: its 3 bytes"),
        (lambda folder: (folder / "deep" / "state.json").unlink(), r"deep/state\.json: No such"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda folder: (folder / "SHA256SUMS").write_bytes(b"\xff\xfe"), "SHA256SUMS is missing"),
    ],
    ids=["one bit", "cut off", "missing file", "no sums", "broken sums"],
)
def test_damage_is_named_with_a_way_out(home, damage, named) -> None:
    damage(home / "checkpoint-10")
    with pytest.raises(CheckpointError, match=named) as told:
        checkpoints.choose(home)
    assert "--resume-from last-whole" in str(told.value)
    assert "checkpoint-2, checkpoint-4" in str(told.value)
    assert checkpoints.choose(home, checkpoints.LAST_WHOLE).name == "checkpoint-4"


def test_every_damaged_file_is_named_at_once(home) -> None:
    for file in ("model.bin", "deep/state.json"):
        (home / "checkpoint-10" / file).write_text("?")
    assert len(checkpoints.faults_of(home / "checkpoint-10")) == 2


def test_without_a_whole_one_there_is_none(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="found no checkpoint"):
        checkpoints.choose(tmp_path)
    folder = write(tmp_path, 2)
    (folder / "model.bin").unlink()
    with pytest.raises(CheckpointError, match="there is no other one"):
        checkpoints.choose(tmp_path, checkpoints.LAST_WHOLE)


@pytest.mark.parametrize("wanted", ["3", "checkpoint-3"])
def test_a_step_without_checkpoint_is_answered_by_those_that_are_there(home, wanted) -> None:
    with pytest.raises(CheckpointError, match="there are checkpoint-2, checkpoint-4"):
        checkpoints.choose(home, wanted)
    with pytest.raises(CheckpointError, match="a step such as 40, or last-whole"):
        checkpoints.choose(home, "newest")


def test_files_of_other_programs_do_no_harm(home) -> None:
    (home / "checkpoint-10" / "notes.txt").write_text("mine")
    (home / "checkpoint-x").mkdir()
    (home / "checkpoint-99").write_text("a file")
    assert checkpoints.choose(home).name == "checkpoint-10"


def test_what_a_killed_run_left_is_not_seen_and_goes_with_the_next_write(home) -> None:
    half = checkpoints.prepare_writing(home) / "checkpoint-12"
    half.mkdir()
    (half / "model.bin").write_text("half")
    assert checkpoints.choose(home).name == "checkpoint-10"
    write(home, 14)
    assert not (home / checkpoints.WRITING).exists()
    assert checkpoints.choose(home).name == "checkpoint-14"


def test_a_second_checkpoint_of_a_step_takes_the_place_of_the_first(home) -> None:
    write(home, 10, "other")
    assert (home / "checkpoint-10" / "model.bin").read_text() == "other"
    assert len(checkpoints.all_checkpoints(home)) == 3


@pytest.mark.parametrize(
    ("limit", "best", "left"),
    [
        (None, None, [2, 4, 10]),
        (0, None, [2, 4, 10]),
        (2, None, [4, 10]),
        (1, None, [10]),
        # As in transformers: the newest and the best stay although one was asked for.
        (1, "checkpoint-2", [2, 10]),
        (2, "checkpoint-2", [2, 10]),
    ],
)
def test_rotation_keeps_the_newest_and_the_best(home, limit, best, left) -> None:
    checkpoints.rotate(home, limit, best)
    assert [checkpoints.step_of(f) for f in checkpoints.all_checkpoints(home)] == left


def test_a_checkpoint_that_is_removed_stops_looking_whole_first(home, monkeypatch) -> None:
    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.discard([home / "checkpoint-10"])
    assert checkpoints.faults_of(home / "checkpoint-10")
