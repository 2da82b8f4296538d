"""Full disks, cut files, half checkpoints, folders that vanish."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forks import Child
from world import (
    ENDS,
    REFUSED,
    STEPS,
    Outcome,
    Ran,
    ended,
    fault,
    lab,
    patched,
    refused,
    train,
    went_on,
)

from rephrase_rl.assembly.run_parts import Recorder
from rephrase_rl.runs import atomic, jsonl

HEALS = "goes on as if nothing had been"
TOLD = "is told with its own message, and the run is left as it is"


def no_space(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "steps.jsonl")


def full_at(owner: Any, name: str, call: int) -> Callable[[Path], Outcome]:
    """The disk is full from the n-th call of a writing function on."""

    def body(folder: Path) -> Outcome:
        original = getattr(owner, name)
        calls = 0

        def write(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return no_space() if calls >= call else original(*args, **kwargs)

        config = lab()
        with patched(owner, name, write):
            ran = train(folder / "run", config)
        return ended(ran, "No space left|room|disk", config, max(1, calls - call + 1))

    return body


fault("disk", "disk full while a record is written", ENDS)(full_at(jsonl, "append_lines", 8))
fault("disk", "disk full while a whole file is written", ENDS)(full_at(atomic, "write_bytes", 3))


@fault("disk", "disk full while a checkpoint is written", ENDS)
def full_checkpoint(folder: Path) -> Outcome:
    import torch

    calls = 0
    original = torch.save

    def save(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        # The second checkpoint: the first one is there to resume from.
        return (
            no_space()
            if (folder / "run/checkpoints/checkpoint-4").exists()
            else original(*args, **kwargs)
        )

    config = lab(trainer={"max_steps": 6})
    with patched(torch, "save", save):
        ran = train(folder / "run", config)
    return ended(ran, "No space left|room|disk", config)


@fault("disk", "file size limit of the system", ENDS)
def file_limit(folder: Path) -> Outcome:
    import resource
    import signal

    config = lab()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    ran = train(folder / "run", config)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return ended(ran, "File too large|room|disk|space", config)


def half_run(folder: Path) -> tuple[Ran, Any]:
    """A run that was interrupted after its third step, saved after its second."""
    config = lab()

    class Stop(Exception):
        pass

    from rephrase_rl.assembly import train_run

    ran = Ran(folder / "run")

    def on_step(view: Any) -> None:
        ran.reported.append(view.step - 1)
        if view.step == 3:
            raise Stop

    with contextlib.suppress(Stop):
        train_run(config, run_path=ran.path, command=["torture"], on_step=on_step)
    return ran, config


def damaged(change: Callable[[Path], Any], pattern: str = "") -> Callable[[Path], Outcome]:
    """Resume after a file was changed: has to go on (no pattern), or to say what is wrong."""

    def body(folder: Path) -> Outcome:
        ran, config = half_run(folder)
        change(ran.path)
        again = train(ran.path, config, resume=True)
        if pattern:
            return refused(again, pattern)
        whole = again.error is None and [s.step for s in again.steps] == list(range(STEPS))
        said = "resumed" if whole else f"not resumed whole: {again.error}"
        return Outcome(whole, said, 1, again.lost())

    return body


def cut(name: str, count: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        file = next(iter(sorted(path.glob(name))))
        content = file.read_bytes()
        file.write_bytes(content[: max(0, len(content) - count)])

    return change


def spoil_line(path: Path) -> None:
    file = path / "steps.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"{oh\n" + b"".join(lines[1:]))


LAST = "checkpoints/checkpoint-2"

for _name, _change, _pattern in (
    ("last line of steps.jsonl torn", cut("steps.jsonl", 30), ""),
    ("last line of groups.jsonl torn", cut("groups.jsonl", 30), ""),
    ("last line of timings.jsonl torn", cut("timings.jsonl", 5), ""),
    ("a line in the middle of steps.jsonl damaged", spoil_line, "line 1 is not JSON"),
    ("manifest.json damaged", cut("manifest.json", 50), "manifest.json is not JSON"),
    ("manifest.json lost", lambda p: (p / "manifest.json").unlink(), "no manifest"),
    ("trainer_state.json of the checkpoint lost",
     lambda p: (p / LAST / "trainer_state.json").unlink(), "checkpoint"),
    ("weights of the checkpoint cut off", cut(f"{LAST}/model.safetensors", 1000), "checkpoint"),
    ("optimizer.pt of the checkpoint cut off", cut(f"{LAST}/optimizer.pt", 1000), "checkpoint"),
    ("rng_state.pth of the checkpoint lost",
     lambda p: (p / LAST / "rng_state.pth").unlink(), "checkpoint"),
    ("guidance memory of the checkpoint lost",
     lambda p: (p / LAST / "guidance-0.pt").unlink(), "guidance-0.pt"),
    ("a temporary file of a killed write", lambda p: (p / ".summary.json.tmp").write_text("{"), ""),
    ("a half checkpoint that was copied there",
     lambda p: (p / "checkpoints/checkpoint-3").mkdir(), "checkpoint-3 is damaged"),
    ("a half checkpoint of a killed write",
     lambda p: (p / "checkpoints/.writing/checkpoint-4").mkdir(parents=True), ""),
):  # fmt: skip
    fault("disk", _name, TOLD if _pattern else HEALS)(damaged(_change, _pattern))


@fault("disk", "run directory holds a run already", REFUSED)
def occupied(folder: Path) -> Outcome:
    half_run(folder)
    return refused(train(folder / "run", lab()), "not empty")


@fault("disk", "run directory is a file", REFUSED)
def a_file(folder: Path) -> Outcome:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run").write_text("x")
    return refused(train(folder / "run", lab()), "is a file")


@fault("disk", "configuration changed before --resume", REFUSED)
def changed(folder: Path) -> Outcome:
    ran, _ = half_run(folder)
    return refused(
        train(ran.path, lab(trainer={"learning_rate": 1.0}), resume=True), "another conf"
    )


@fault("disk", "run directory removed in the middle of the run", "ends with its message")
def removed(folder: Path) -> Outcome:
    original = Recorder.keep_step

    def keep(self: Any, record: Any, times: Any, total: int) -> None:
        original(self, record, times, total)
        if record.step == 2:
            shutil.rmtree(folder / "run")

    with patched(Recorder, "keep_step", keep):
        ran = train(folder / "run", lab())
    told = ran.error is not None and "run" in str(ran.error)
    return Outcome(told, f"{type(ran.error).__name__}: {ran.error}")


@fault("disk", "two runs write into one directory", "the second is refused, the first goes on")
def two_writers(folder: Path) -> Outcome:
    original = Recorder.keep_step

    def second() -> dict[str, Any]:
        Recorder.keep_step = original  # type: ignore[method-assign]
        return dataclasses.asdict(refused(train(folder / "run", lab()), "not empty"))

    def keep(self: Any, record: Any, times: Any, total: int) -> None:
        original(self, record, times, total)
        if record.step == 1:
            Child(second, folder / "second.log", 60.0).wait()

    with patched(Recorder, "keep_step", keep):
        ran = train(folder / "run", lab())
    outcome = json.loads((folder / "second.result.json").read_text())
    first = went_on(ran)
    return first if not first.survived else Outcome(**outcome)
