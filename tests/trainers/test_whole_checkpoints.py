"""What goes wrong while a checkpoint is written leaves the one before, and nothing half-written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rephrase_rl.errors import CheckpointError
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.runs import checkpoints
from rephrase_rl.trainers.trl.checkpoints import _not_written
from trl_fakes import trainer

pytestmark = pytest.mark.integration

SAVING = {"save_strategy": "steps", "save_steps": 1}


def tree(home: Path) -> set[str]:
    return {path.name for path in home.iterdir() if path.is_dir()}


def test_rotation_waits_for_the_new_one(tmp_path, monkeypatch) -> None:
    there_at_sealing = []
    seal = checkpoints.seal

    def look(folder: Path) -> None:
        there_at_sealing.append(tree(tmp_path) - {checkpoints.WRITING})
        seal(folder)

    monkeypatch.setattr(checkpoints, "seal", look)
    made = trainer(tmp_path, Guidance(), args=SAVING | {"max_steps": 3, "save_total_limit": 1})
    made.train()
    assert there_at_sealing == [set(), {"checkpoint-1"}, {"checkpoint-2"}]
    assert tree(tmp_path) == {"checkpoint-3"}
    assert checkpoints.faults_of(tmp_path / "checkpoint-3") == []
    names = (tmp_path / "checkpoint-3" / checkpoints.SUMS).read_text()
    for file in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth",
                 "trainer_state.json", "guidance-0.pt"):  # fmt: skip
        assert file in names


@pytest.mark.parametrize("limit", [300, 60_000], ids=["first files", "optimiser"])
def test_a_disk_that_takes_no_more_is_told_and_leaves_the_one_before(tmp_path, limit) -> None:
    """The system's own limit on the size of a file stands for a full disk."""
    made = trainer(tmp_path, Guidance(), args=SAVING | {"max_steps": 2})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    original = made._save_checkpoint

    def save(model, trial):
        if made.state.global_step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            original(model, trial)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    made._save_checkpoint = save
    with pytest.raises(CheckpointError, match="checkpoint-2 could not be written") as told:
        made.train()
    for words in ("MB are free", "the last one that is there is checkpoint-1", "--resume"):
        assert words in str(told.value)
    assert tree(tmp_path) == {"checkpoint-1"}
    assert checkpoints.faults_of(tmp_path / "checkpoint-1") == []


def test_without_an_earlier_checkpoint_nothing_is_to_be_resumed(tmp_path) -> None:
    error = OSError("No space left on device")
    said = _not_written(tmp_path, "checkpoint-2", error)
    assert "begin anew with --overwrite" in said
    assert "--resume" not in said
    (tmp_path / "checkpoint-1").mkdir()
    assert "--resume" in _not_written(tmp_path, "checkpoint-2", error)


def test_an_interruption_in_the_middle_of_saving_leaves_nothing_half_written(tmp_path) -> None:
    made = trainer(tmp_path, Guidance(), args=SAVING | {"max_steps": 2})
    save = torch.save

    def interrupted(value, file, *args, **kwargs):
        if made.state.global_step == 2:
            raise KeyboardInterrupt
        save(value, file, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.train()
    assert tree(tmp_path) == {"checkpoint-1"}


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
from trl_fakes import trainer
from rephrase_rl.guidance.blocks import Guidance
made = trainer(sys.argv[2], Guidance(), args={
    "save_strategy": "steps", "save_steps": 1, "max_steps": 2})
save = torch.save
def killed(value, file, *args, **kwargs):
    save(value, file, *args, **kwargs)
    if made.state.global_step == 2 and str(file).endswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = killed
made.train()
"""


@pytest.mark.slow
@pytest.mark.parametrize("file", ["optimizer.pt", "rng_state.pth", "guidance-0.pt"])
def test_kill_while_saving_leaves_the_one_before(tmp_path, file) -> None:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", KILLED, tests, str(tmp_path), file]
    done = subprocess.run(command, env=os.environ, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr[-2000:]
    assert checkpoints.choose(tmp_path).name == "checkpoint-1"
    assert (tmp_path / checkpoints.WRITING / "checkpoint-2" / file).is_file()


def test_damage_is_told_before_anything_is_loaded(tmp_path) -> None:
    trainer(tmp_path, Guidance(), args=SAVING).train()
    file = tmp_path / "checkpoint-1" / "optimizer.pt"
    file.write_bytes(file.read_bytes()[:-1])
    other = trainer(tmp_path, Guidance(), args=SAVING)
    before = [parameter.detach().clone() for parameter in other.model.parameters()]
    with pytest.raises(CheckpointError, match=r"optimizer\.pt"):
        other.train(resume_from_checkpoint=True)
    assert all(torch.equal(a, b) for a, b in zip(before, other.model.parameters(), strict=True))
