"""What a machine lacks is said with a remedy; anything else passes as it is."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from rephrase_rl.assembly.machine_faults import machine_faults
from rephrase_rl.errors import ConfigError, ResourceError
from rephrase_rl.runs import RunDirectory, atomic, checkpoints, jsonl
from resume_runs import config, train


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/steps.jsonl"), "no room left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no room left"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "may not be written"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "set output_dir"),
        (MemoryError(), "rephrase-rl plan"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory ran out"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "--resume"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_fault_of_the_machine_is_told(tmp_path, error, words) -> None:
    with pytest.raises(ResourceError, match=words) as told, machine_faults(tmp_path / "run"):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        RuntimeError("shapes differ"),
        ConfigError("out of memory of this field"),
        KeyError("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_other_fault_passes(tmp_path, error) -> None:
    if isinstance(error, ConfigError):
        error = ConfigError("not valid")
    with pytest.raises(type(error)) as told, machine_faults(tmp_path):
        raise error
    assert told.value is error


def test_a_line_that_finds_no_room_leaves_the_record_whole(tmp_path, monkeypatch) -> None:
    """A full disk takes a part of a write; the part is cut off again."""
    file = tmp_path / "steps.jsonl"
    jsonl.append_lines(file, [{"step": 0}])

    class Full:
        def __init__(self, inner) -> None:
            self._inner = inner

        def __enter__(self):
            return self

        def __exit__(self, *args) -> None:
            self._inner.close()

        def write(self, payload: bytes) -> None:
            self._inner.write(payload[:5])
            self._inner.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open

    def open_full(path: Path, mode: str = "r", *args, **kwargs):
        found = opened(path, mode, *args, **kwargs)
        return Full(found) if mode == "ab" else found

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OSError, match="No space left"):
        jsonl.append_lines(file, [{"step": 1}])
    assert file.read_bytes() == b'{"step": 0}\n'


@pytest.mark.integration
def test_a_folder_that_may_not_be_written_is_told_before_training(tmp_path, monkeypatch) -> None:
    def refused(path: Path, text: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(atomic, "write_text", refused)
    with pytest.raises(ResourceError, match=r"config\.yaml may not be written"):
        train(config(), tmp_path / "run")


@pytest.mark.integration
def test_memory_that_runs_out_in_generation_leaves_a_run_that_goes_on(
    tmp_path, monkeypatch
) -> None:
    from rephrase_rl.trainers.trl import trainer as module

    sample, calls = module.sample_ids, []

    def short(*args, **kwargs):
        calls.append(1)
        if len(calls) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
        return sample(*args, **kwargs)

    monkeypatch.setattr(module, "sample_ids", short)
    with pytest.raises(ResourceError, match=r"memory ran out .*2 GiB"):
        train(config("grpo"), tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    assert len(run.steps()) == 2
    assert checkpoints.choose(run.checkpoints).name == "checkpoint-2"
