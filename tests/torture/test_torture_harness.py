"""The harness tells what survived from what did not; a fault that hangs does not hang it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "scripts" / "torture" / "inject.py"


def running(pid: int) -> bool:
    """Whether a process is there and no zombie that waits to be collected."""
    file = Path(f"/proc/{pid}/stat")
    return file.exists() and file.read_text().rpartition(")")[2].split()[0] != "Z"


def test_children_are_done_failed_or_killed_and_leave_no_process(tmp_path) -> None:
    from forks import Child

    def hang() -> None:
        below = Child(lambda: time.sleep(60), tmp_path / "below.log", 60)
        print(f"hanging above {below.pid}", flush=True)
        time.sleep(60)

    done = Child(lambda: {"a": 1}, tmp_path / "done.log", 10)
    failed = Child(lambda: 1 / 0, tmp_path / "failed.log", 10)
    killed = Child(hang, tmp_path / "killed.log", 1.0)
    assert [child.wait() for child in (done, failed, killed)] == ["done", "failed", "killed"]
    assert done.result() == {"a": 1}
    assert "ZeroDivisionError" in failed.output()
    below = int(killed.output().split("hanging above ")[1])
    assert killed.seconds < 30  # it hangs for 60
    assert not running(killed.pid)
    until = (
        time.monotonic() + 3
    )  # the signal is sent, and takes effect when the process is next run
    while running(below) and time.monotonic() < until:
        time.sleep(0.01)
    assert not running(below), "a child of a child is killed too"


def a_run(path: Path, steps: int, total: int = 4):
    from world import Ran

    from rephrase_rl.records import StepRecord
    from rephrase_rl.runs import RunDirectory

    text = f"trainer: {{max_steps: {total}}}\nlog: {{groups: all}}\n"
    run = RunDirectory.create(path, {}, text)
    for step in range(steps):
        run.append_step(StepRecord(step, {"reward": 0.0}))
    return Ran(path, reported=list(range(steps)))


def test_surviving_is_the_whole_record_and_the_words_that_were_expected(tmp_path) -> None:
    from world import went_on

    whole = a_run(tmp_path / "whole", 4)
    whole.messages.append("CONSTANT REWARD: all 8")
    assert went_on(whole, "CONSTANT").survived
    assert not went_on(whole, "ANOTHER").survived, "the message was not said"
    assert not went_on(whole, injected=0).survived, "nothing was injected"
    assert not went_on(a_run(tmp_path / "short", 3)).survived
    lossy = a_run(tmp_path / "lossy", 4)
    lossy.reported.append(4)
    outcome = went_on(lossy)
    assert (outcome.survived, outcome.lost) == (False, 1)
    lossy.error = ValueError("oh")
    assert "ended with ValueError: oh" in went_on(lossy).message


def test_a_message_that_is_no_error_of_ours_is_not_its_own(tmp_path) -> None:
    from world import Ran, refused

    from rephrase_rl.errors import DataError

    assert refused(Ran(tmp_path, DataError("row 3 is bad")), "row 3").survived
    assert not refused(Ran(tmp_path, DataError("row 3 is bad")), "row 4").survived
    assert not refused(Ran(tmp_path, KeyError("row 3")), "row 3").survived
    assert not refused(Ran(tmp_path, DataError("row 3"), [0]), "row 3").survived, "too late"


def test_lost_steps_of_a_killed_run_are_seen(tmp_path) -> None:
    from kills import readable

    run = a_run(tmp_path / "run", 3).path
    assert readable(run, [0, 1, 2])[0] == 3, "steps without their groups are lost too"
    assert readable(tmp_path / "nothing", []) == (0, "")
    lost, why = readable(tmp_path / "nothing", [0])
    assert lost == 1
    assert "no such folder" in why


@pytest.mark.slow
def test_a_fault_runs_from_the_command_line_and_its_row_is_in_the_table(tmp_path) -> None:
    only = ["--only", "verifier raises at every third", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(RUN), *only], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    table = (tmp_path / "table.md").read_text()
    assert "1 kinds of fault in 1 runs: 1 kinds survived, 0 records lost" in table
    assert "| verifier: verifier raises at every third completion |" in table
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["verifier:", "endpoint:", "model:", "data:", "disk:", "distributed:"]
)
def test_every_fault_of_a_family_is_survived(tmp_path, family) -> None:
    only = ["--only", family, "--kills", "0", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(RUN), *only], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(tmp_path) -> None:
    only = ["--only", "kill:", "--kills", "200", "--out", str(ROOT / "build" / "torture-200")]
    done = subprocess.run([sys.executable, str(RUN), *only], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
