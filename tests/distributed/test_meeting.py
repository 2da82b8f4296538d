"""Processes of a run wait for each other as long as its configuration says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.distributed

JOB = Path(__file__).with_name("meeting_job.py")


def test_the_time_limit_is_the_runs_own_from_the_beginning(tmp_path) -> None:
    out = tmp_path / "found.json"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(JOB), str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(out.read_text()) == [{"limit_s": 77.0, "processes": 2}] * 2
