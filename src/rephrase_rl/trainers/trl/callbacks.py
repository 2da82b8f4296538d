"""Callbacks that connect a trainer to what the run keeps: one record per optimiser step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object
from transformers import TrainerCallback

from rephrase_rl.records import StepRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIME_FIELDS = ("step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second")
"""TRL's and transformers' names for wall-clock figures, which differ from run to run."""


def split_times(logs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide a log line into what is deterministic and what is wall-clock time."""
    times = {k: v for k, v in logs.items() if k.startswith("time/") or k in TIME_FIELDS}
    return {k: v for k, v in logs.items() if k not in times}, times


class StepReporter(TrainerCallback):
    """Calls ``on_step`` after each optimiser step with its deterministic figures and its times."""

    def __init__(self, on_step: Callable[[StepRecord, Mapping[str, float], int], None]) -> None:
        """Args: on_step, called with (record, times, total steps) on the main process."""
        self._on_step = on_step
        self._last = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock of the first step."""
        self._last = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hand on one training step; the closing summary of the trainer is no step."""
        logs = kwargs["logs"]
        if not state.is_world_process_zero or "loss" not in logs:
            return
        metrics, times = split_times(logs)
        now = time.perf_counter()
        times["time/step_s"] = now - self._last
        self._last = now
        # Steps count from 0, like the groups that were generated for them.
        record = StepRecord(state.global_step - 1, metrics)
        self._on_step(record, times, state.max_steps)


class EveryNSteps(TrainerCallback):
    """Calls a function after every n-th optimiser step, with the step number.

    Training ends where it says so.
    """

    def __init__(self, every: int, action: Callable[[int], bool]) -> None:
        """Args: every n steps, the action; true, on all processes alike: training is to end."""
        self._every = every
        self._action = action

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Act on every n-th step."""
        if state.global_step % self._every == 0 and self._action(state.global_step):
            control.should_training_stop = True


class StopAfterStep(TrainerCallback):
    """Saves and ends training at the end of a step in which that was asked for."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        """Args: whether this process was asked; one process is enough."""
        self._asked = asked
        self.stopped = False
        """Whether it has ended training."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """All processes decide together, since a signal need not reach them in the same step."""
        if any(gather_object([self._asked()])):
            control.should_save = control.should_training_stop = self.stopped = True
