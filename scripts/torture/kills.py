"""``kill -9`` at a random moment: the record holds every finished step, and the run resumes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forks import Child
from world import Fault, Outcome, lab

from rephrase_rl.assembly import train_run
from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import RunDirectory

METHODS = ("repo", "grpo", "luffy", "relift")
STEPS = 6
SURVIVES = "every finished step is readable; --resume gives the steps.jsonl of a run without kill"


def config_of(method: str) -> Any:
    guidance = {"slot": {"size": 2}} if method == "relift" else {}
    return lab(method=method, guidance=guidance, trainer={"max_steps": STEPS})


def training(path: Path, method: str, finished: Path, **options: Any) -> Callable[[], None]:
    """The body of a child: trains, and writes down every step before anything else happens."""

    def body() -> None:
        with finished.open("ab", buffering=0) as file:

            def on_step(view: Any) -> None:
                file.write(f"{view.step - 1}\n".encode())
                os.fsync(file.fileno())

            train_run(
                config_of(method), run_path=path, command=["torture"], on_step=on_step, **options
            )

    return body


class Reference:
    """The run of a method that nobody kills; its records and how long it takes."""

    def __init__(self, method: str, folder: Path) -> None:
        self.method = method
        self.path = folder / f"reference-{method}" / "run"
        child = Child(
            training(self.path, method, folder / f"reference-{method}.steps"),
            folder / f"reference-{method}.log",
            180.0,
        )
        if child.wait() != "done":
            raise RuntimeError(f"{method} fails without a kill:\n{child.output()[-2000:]}")
        self.seconds = child.seconds
        self.steps = (self.path / "steps.jsonl").read_bytes()


def kill_of(reference: Reference, number: int, seed: int) -> Fault:
    """One kill at a moment that depends on seed and number."""
    share = random.Random(f"{seed}/{reference.method}/{number}").random()

    def body(folder: Path) -> Outcome:
        path, finished = folder / "run", folder / "finished"
        child = Child(training(path, reference.method, finished), folder / "killed.log", 180.0)
        time.sleep(share * reference.seconds)
        done_before = child.poll() is not None
        child.kill()
        reported = [int(n) for n in finished.read_text().split()] if finished.exists() else []
        lost, why = readable(path, reported)
        if lost or why:
            return Outcome(False, why or f"{lost} steps lost", 1, lost)
        when = f"killed after step {max(reported, default=-1) + 1} of {STEPS}"
        return resumed(reference, folder, when, done_before)

    name = f"kill -9 of {reference.method}"
    return Fault("kill", name, SURVIVES, body, 240.0)


def readable(path: Path, reported: list[int]) -> tuple[int, str]:
    """Finished steps that are not in the record, and what cannot be read."""
    try:
        run = RunDirectory.open(path)
        recorded = {step.step for step in run.steps()}
        groups = {group.step for group in run.groups()}
    except CheckpointError as error:
        return len(reported), str(error) if reported else ""
    return sum(step not in recorded or step not in groups for step in reported), ""


def resumed(reference: Reference, folder: Path, when: str, finished: bool) -> Outcome:
    path = folder / "run"
    saved = any((path / "checkpoints").glob("checkpoint-*/trainer_state.json"))
    again = Child(
        training(path, reference.method, folder / "again", resume=saved, overwrite=not saved),
        folder / "resumed.log",
        180.0,
    )
    if again.wait() != "done":
        return Outcome(False, f"{when}; does not resume: {again.output()[-400:]}")
    same = (path / "steps.jsonl").read_bytes() == reference.steps
    how = "resumed" if saved else "started anew, no checkpoint yet"
    if finished:
        how = "it had just ended"
    return Outcome(same, f"{when}; {how}" + ("" if same else "; other steps.jsonl"))
