"""What does not move any more is ended, with a message and the stacks of all threads."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest

from rephrase_rl.trainers.trl.hang_watch import HangWatch

STATE = SimpleNamespace(global_step=3)


def watch(tmp_path, limit_s: float = 0.2, **options):
    ended: list[int] = []
    stream = (tmp_path / "said.txt").open("w")
    return HangWatch(limit_s, "process 1 of 2", stream=stream, end=ended.append, **options), ended


def test_a_part_that_takes_too_long_ends_the_process_with_its_stacks(tmp_path) -> None:
    made, ended = watch(tmp_path)
    made.on_train_begin(None, STATE, None)
    made.on_step_begin(None, STATE, None)
    time.sleep(0.7)
    made.close()
    said = (tmp_path / "said.txt").read_text()
    assert ended == [1]
    assert "process 1 of 2: nothing has moved for 0.2 s, since step 3" in said
    assert "in test_a_part_that_takes_too_long" in said


def test_what_moves_is_left_alone_and_so_are_evaluations_and_the_end(tmp_path) -> None:
    made, ended = watch(tmp_path, evaluates_at=lambda step: step == 3)
    made.on_train_begin(None, STATE, None)
    for _ in range(6):
        made.on_substep_end(None, STATE, None)
        time.sleep(0.1)
    made.on_step_end(None, STATE, None)  # an evaluation follows
    time.sleep(0.6)
    made.on_step_begin(None, STATE, None)
    made.on_train_end(None, STATE, None)
    time.sleep(0.5)
    assert ended == []


HOLDS = """
import re, time
from types import SimpleNamespace
from rephrase_rl.trainers.trl.hang_watch import HangWatch
made = HangWatch(0.3, "this run")
made.on_train_begin(None, SimpleNamespace(global_step=0), None)
def holds_the_interpreter():
    re.match(r"(a+)+$", "a" * 40 + "b")
holds_the_interpreter()
"""


@pytest.mark.slow
def test_it_ends_a_process_whose_interpreter_is_held() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HOLDS)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "in holds_the_interpreter" in done.stderr
