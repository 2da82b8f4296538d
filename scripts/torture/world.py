"""What every fault needs: a tiny run of the lab, what it left, and whether it survived."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rephrase_rl.assembly import train_run
from rephrase_rl.config import RunConfig, parse_config
from rephrase_rl.errors import RephraseError
from rephrase_rl.runs import RunDirectory

STEPS = 4
"""Optimiser steps of a run; saved after every second."""
GOES_ON = "goes on to the last step, the fault counted"
ENDS = "ends with its own message; the record is whole; goes on once the fault is gone"
REFUSED = "is refused before anything is trained, with what to do"


@dataclass(frozen=True)
class Outcome:
    """How one fault ended."""

    survived: bool
    message: str
    """The run's own message, or what it counted; why not, if it did not survive."""
    injected: int = 1
    lost: int = 0
    """Finished steps that are not in the record."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    family: str
    name: str
    survives: str
    """What surviving means here, in one line."""
    body: Callable[[Path], Outcome]
    limit_s: float = 90.0
    """After so many seconds it counts as hanging."""


FAULTS: list[Fault] = []


def fault(family: str, name: str, survives: str, limit_s: float = 90.0) -> Callable[..., Any]:
    """Register a function (folder) -> Outcome as a fault."""

    def register(body: Callable[[Path], Outcome]) -> Callable[[Path], Outcome]:
        FAULTS.append(Fault(family, name, survives, body, limit_s))
        return body

    return register


@dataclass
class Ran:
    """One run of ``train_run``."""

    path: Path
    error: BaseException | None = None
    reported: list[int] = field(default_factory=list)
    """Steps, from 0, of which the run said that they were finished."""
    messages: list[str] = field(default_factory=list)
    """Warnings, and what was logged as one."""

    @property
    def steps(self) -> list[Any]:
        """Records of steps."""
        return RunDirectory.open(self.path).steps()

    def sum_of(self, metric: str) -> float:
        """Sum of a figure over the steps."""
        return sum(step.metrics.get(metric) or 0.0 for step in self.steps)

    def lost(self) -> int:
        """Steps that were reported and are not in the record, or whose groups are not."""
        if not self.reported:
            return 0
        run = RunDirectory.open(self.path)
        recorded = {step.step for step in run.steps()}
        grouped = {group.step for group in run.groups()} if run.config["log"] else set()
        supervised = not (self.path / "groups.jsonl").exists()
        return sum(s not in recorded or not (supervised or s in grouped) for s in self.reported)

    def said(self, pattern: str) -> str:
        """The error or warning that matches; empty if none does."""
        told = [*([str(self.error)] if self.error is not None else []), *self.messages]
        return next((" ".join(t.split()) for t in told if re.search(pattern, t, re.DOTALL)), "")


def lab(**changes: Any) -> RunConfig:
    """A run of a few steps on the lab; ``trainer`` and ``data`` are changed, the rest replaced."""
    trainer = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 24,
        "learning_rate": 1e-4,
        "shuffle_dataset": False,
        # Chosen by a measurement otherwise, and so now this way, now that.
        "bf16": False,
        "save_strategy": "steps",
        "save_steps": 2,
        "save_total_limit": 2,
    }
    raw: dict[str, Any] = {
        "method": "repo",
        "model": {"path": "lab:base"},
        "data": {"path": "lab:mixed", "limit": 40} | changes.pop("data", {}),
        "seed": 3,
        "trainer": trainer | changes.pop("trainer", {}),
    }
    return parse_config(raw | changes)


class _Kept(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())


def train(path: Path, config: RunConfig, *, resume: bool = False, **options: Any) -> Ran:
    """Run to the end or to an error; nothing is raised."""
    ran = Ran(path)
    handler = _Kept(ran.messages)
    logging.getLogger("rephrase_rl").addHandler(handler)

    def on_step(view: Any) -> None:
        ran.reported.append(view.step - 1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            train_run(
                config,
                run_path=path,
                command=["torture"],
                resume=resume,
                on_step=on_step,
                **options,
            )
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            ran.error = error
    logging.getLogger("rephrase_rl").removeHandler(handler)
    ran.messages += [str(w.message) for w in caught]
    return ran


def went_on(ran: Ran, pattern: str = "", injected: int = 1, counted: str = "") -> Outcome:
    """The run came to its end; ``pattern`` was said, or ``counted`` is what the record shows."""
    if ran.error is not None:
        return Outcome(False, f"ended with {type(ran.error).__name__}: {ran.error}", injected)
    lost = ran.lost()
    total = int(RunDirectory.open(ran.path).config["trainer"]["max_steps"])
    if len(ran.steps) != total:
        return Outcome(False, f"{len(ran.steps)} of {total} steps are recorded", injected, lost)
    message = ran.said(pattern) if pattern else ""
    if pattern and not message:
        return Outcome(False, f"nothing said that matches {pattern!r}", injected, lost)
    if injected < 1:
        return Outcome(False, "the fault was never injected", injected, lost)
    return Outcome(lost == 0, message or counted, injected, lost)


def ended(
    ran: Ran, pattern: str, healthy: RunConfig, injected: int = 1, own: bool = True
) -> Outcome:
    """The run ended with its own message, and goes on once the fault is gone.

    Args:
        ran: How it ended.
        pattern: What its message has to say.
        healthy: The same configuration; the fault itself is gone by now.
        injected: How often the fault happened.
        own: Whether the message has to be one of this package's errors.
    """
    found = f"{type(ran.error).__name__}: {ran.error}"
    if ran.error is None or (own and not isinstance(ran.error, RephraseError)):
        return Outcome(False, f"no message of its own: {found}", injected)
    message = ran.said(pattern)
    if not message:
        return Outcome(False, f"another message: {found}", injected)
    lost = ran.lost()
    saved = any((ran.path / "checkpoints").glob("checkpoint-*/trainer_state.json"))
    again = train(ran.path, healthy, resume=saved, overwrite=not saved)
    if again.error is not None:
        return Outcome(False, f"does not go on: {type(again.error).__name__}: {again.error}")
    whole = [step.step for step in again.steps] == list(range(healthy.trainer["max_steps"]))
    return Outcome(whole and lost == 0, message, injected, lost)


def refused(ran: Ran, pattern: str) -> Outcome:
    """Told before anything was trained."""
    found = f"{type(ran.error).__name__}: {ran.error}"
    if not isinstance(ran.error, RephraseError) or ran.reported:
        return Outcome(False, f"no message of its own, or too late: {found}")
    message = ran.said(pattern)
    return Outcome(bool(message), message or f"another message: {found}")


@contextlib.contextmanager
def patched(owner: Any, name: str, value: Any) -> Any:
    """An attribute replaced for the length of a block."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield original
    finally:
        setattr(owner, name, original)


def finished_children(path: Path) -> None:
    """Remove what a fault left on disk."""
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def threads() -> int:
    """Threads of this process; a process with more than one must not be forked."""
    return len(os.listdir("/proc/self/task"))
