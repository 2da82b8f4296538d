"""Which checkpoint a run goes on from, and what becomes of later ones and of the records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.runs import RunDirectory, checkpoints
from resume_runs import as_killed_after, config, differences, train

pytestmark = pytest.mark.integration

CHOSEN = config(max_steps=3, steps_per_generation=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return train(CHOSEN, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def killed(whole, tmp_path) -> Path:
    return as_killed_after(whole, 2, tmp_path / "run")


def names(path: Path) -> list[str]:
    return [folder.name for folder in checkpoints.all_checkpoints(path / "checkpoints")]


def test_damaged_checkpoint_is_named_and_the_one_before_taken_on_request(whole, killed) -> None:
    weights = killed / "checkpoints" / "checkpoint-2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    records = (killed / "steps.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: its .* bytes are not"):
        train(CHOSEN, killed, resume=True)
    assert (killed / "steps.jsonl").read_bytes() == records, "a refused run changes nothing"
    assert names(killed) == ["checkpoint-1", "checkpoint-2"]

    def killed_again(view) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CHOSEN, killed, resume_from="last-whole", on_step=killed_again)
    assert names(killed) == ["checkpoint-1"], "what came after it went before the run went on"
    train(CHOSEN, killed, resume=True)
    assert names(killed) == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    assert checkpoints.faults_of(killed / "checkpoints" / "checkpoint-2") == []
    assert differences(whole, killed) == []
    parts = RunDirectory.open(killed).manifest["resumed"]
    assert [part["after_step"] for part in parts] == [1, 1]
    assert all(part["versions"] for part in parts)


def test_a_record_with_a_hole_is_refused(killed) -> None:
    lines = (killed / "steps.jsonl").read_bytes().splitlines(keepends=True)
    (killed / "steps.jsonl").write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(CheckpointError, match="lacks step 1 and 0 others of the 2"):
        train(CHOSEN, killed, resume=True)


def test_what_was_changed_is_named_where_a_run_is_resumed(killed) -> None:
    changed = config(max_steps=7, steps_per_generation=2)
    other_place = changed.model_copy(update={"output_dir": "elsewhere"})
    with pytest.raises(ConfigError, match="another configuration") as raised:
        train(other_place, killed, resume=True)
    assert raised.value.faults == ("trainer.max_steps: 3 in the run, 7 now",)
    assert "init_from" in raised.value.message


def test_what_a_kill_left_half_written_is_passed_over(whole, killed) -> None:
    half = killed / "checkpoints" / checkpoints.WRITING / "checkpoint-3"
    shutil.copytree(killed / "checkpoints" / "checkpoint-2", half)
    with (killed / "steps.jsonl").open("ab") as file:
        file.write(b'{"step": 3, "metr')
    train(CHOSEN, killed, resume=True)
    assert differences(whole, killed) == []
    assert not half.parent.exists()


def test_records_reach_the_disk_before_the_checkpoint_that_counts_on_them(
    tmp_path, monkeypatch
) -> None:
    order = []
    for owner, name in ((RunDirectory, "sync"), (checkpoints, "publish")):
        original = getattr(owner, name)

        def noted(*args, _name=name, _original=original):
            order.append(_name)
            return _original(*args)

        monkeypatch.setattr(owner, name, noted)
    train(config(max_steps=1), tmp_path / "run")
    assert order == ["sync", "publish"] * 2, "of the checkpoint, and of the final policy"
