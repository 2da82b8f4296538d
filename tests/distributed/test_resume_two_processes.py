"""Two gloo processes that are killed and resumed are the two that were left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rephrase_rl.runs import RunDirectory, checkpoints
from resume_runs import as_killed_after, differences

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

LIMIT_S = 180
CONFIG = """
method: repo
model: {path: "lab:base"}
data: {path: "lab:mixed", limit: 8}
seed: 5
trainer:
  {max_steps: 5, per_device_train_batch_size: 4, num_generations: 4, max_completion_length: 24,
   steps_per_generation: 4, num_iterations: 2, save_strategy: steps, save_steps: 1,
   learning_rate: 1.0e-3, bf16: false, ddp_backend: gloo}
"""


def command(folder: Path, out: Path, *options: str, processes: int = 2) -> list[str]:
    config = folder / "run.yaml"
    config.write_text(CONFIG)
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    program = ["-m", "rephrase_rl.cli.main", "train", str(config), "--set", f"output_dir={out}"]
    return [sys.executable, "-m", *launcher, *program, *options]


def launch(
    folder: Path, out: Path, *options: str, processes: int = 2
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command(folder, out, *options, processes=processes),
        env=environment,
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    done = launch(folder, folder / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "run"


def test_resumed_within_a_generation_batch(whole, tmp_path) -> None:
    part = as_killed_after(whole, 3, tmp_path / "run")
    done = launch(tmp_path, part, "--resume")
    assert done.returncode == 0, done.stderr[-3000:]
    assert differences(whole, part) == []


def test_number_of_processes_must_stay(whole, tmp_path) -> None:
    part = as_killed_after(whole, 3, tmp_path / "run")
    done = launch(tmp_path, part, "--resume", processes=1)
    assert done.returncode != 0
    assert "of 1 processes" in done.stderr


def test_one_press_stops_both_with_a_checkpoint(tmp_path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command(tmp_path, tmp_path / "run"),
        env=environment,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + LIMIT_S
    steps = tmp_path / "run" / "steps.jsonl"
    while not steps.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_S)
    run = RunDirectory.open(tmp_path / "run")
    done = len(run.steps())
    assert checkpoints.choose(run.checkpoints).name == f"checkpoint-{done}", errors[-3000:]
    assert f"stopped after step {done} of 5" in errors
