"""Ctrl-C once finishes the step and saves; twice ends at once; what is left goes on exactly."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from rephrase_rl.assembly import stopping
from rephrase_rl.assembly.stopping import StopRequest
from rephrase_rl.cli import main as command_line
from rephrase_rl.errors import StoppedError
from rephrase_rl.runs import RunDirectory, checkpoints
from resume_runs import config, differences, train

pytestmark = pytest.mark.integration


def signal_at(step: int, *signals: int):
    def on_step(view) -> None:
        if view.step == step:
            for number in signals:
                os.kill(os.getpid(), number)

    return on_step


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_once_finishes_the_step_saves_and_goes_on_exactly(tmp_path, capfd, number) -> None:
    # Nothing is saved unless asked; step 1 is within a batch of two steps.
    chosen = config(max_steps=3, save_strategy="no", steps_per_generation=2)
    handler = signal.getsignal(number)
    with pytest.raises(StoppedError, match=r"after step 2 of 3; checkpoint-2 is saved") as told:
        train(chosen, tmp_path / "part", on_step=signal_at(1, number))
    assert told.value.signal_number == number
    assert signal.getsignal(number) is handler
    assert "finishing the step and saving" in capfd.readouterr().err
    part = RunDirectory.open(tmp_path / "part")
    assert len(part.steps()) == 2
    assert part.summary is None
    assert [f.name for f in part.checkpoints.iterdir() if f.is_dir()] == ["checkpoint-2"]
    if number == signal.SIGINT:
        train(chosen, tmp_path / "part", resume=True)
        assert differences(train(chosen, tmp_path / "whole"), tmp_path / "part") == []


def test_twice_ends_at_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stopping, "ONE_PRESS_S", 0.0)
    with pytest.raises(KeyboardInterrupt) as told:
        train(
            config(max_steps=4),
            tmp_path / "run",
            on_step=signal_at(2, signal.SIGINT, signal.SIGINT),
        )
    assert "checkpoint-1 is the last one" in told.value.__notes__[0]
    run = RunDirectory.open(tmp_path / "run")
    assert len(run.steps()) == 2
    # The second step was recorded and not saved: its checkpoint comes after its record.
    assert checkpoints.choose(run.checkpoints).name == "checkpoint-1"


def test_what_a_launcher_passes_on_is_no_second_press() -> None:
    with StopRequest() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop.asked
    assert stop.signal_number == signal.SIGINT


def test_outside_the_main_thread_nothing_is_listened_for() -> None:
    seen = []

    def body() -> None:
        with StopRequest() as stop:
            seen.append(stop.asked)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGINT) is before


def test_interruption_says_what_is_left(monkeypatch, capsys) -> None:
    def interrupted(*args, **kwargs) -> None:
        error = KeyboardInterrupt()
        error.add_note("checkpoint-1 is the last one")
        raise error

    monkeypatch.setattr(command_line, "app", interrupted)
    assert command_line.main(["train", "x.yaml"]) == 130
    assert "checkpoint-1 is the last one" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_exit_status_says_which_signal(monkeypatch, number, status) -> None:
    def stopped(*args, **kwargs) -> None:
        raise StoppedError("stopped after step 2 of 4", number)

    monkeypatch.setattr(command_line, "app", stopped)
    assert command_line.main(["train", "x.yaml"]) == status
