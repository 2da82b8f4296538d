"""The benchmarks still fit the code that they measure; their figures are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_micro_benchmark_times_every_case(tmp_path) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/micro.py", "--seconds", "0.001", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(out.read_text())["milliseconds"]
    assert len(figures) >= 7
    assert all(low <= median <= high for median, low, high in figures.values())


@pytest.mark.slow
def test_step_benchmark_compares_all_arms(tmp_path) -> None:
    out = tmp_path / "figures.json"
    arms = ["trl", "trl-small", "trl-default", "grpo"]
    arms += ["repo-closed", "repo-open", "repo-anticipated"]
    command = [sys.executable, "benchmarks/grpo_step.py", "--model", "lab", "--rows", "16"]
    command += ["--steps", "1", "--pairs", "1", "--arms", *arms, "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads(out.read_text())
    assert set(record["runs"]) == set(arms)
    assert set(record["ratios"]) == set(arms[1:])
    assert all(run["step_s"] > 0 for runs in record["runs"].values() for run in runs)


@pytest.mark.slow
def test_interleaved_steps_are_taken_in_turn_and_compared(tmp_path) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/interleaved.py", "--model", "lab", "--rows", "16"]
    command += ["--rounds", "3", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads(out.read_text())
    assert {arm: len(steps) for arm, steps in record["steps"].items()} == {
        "grpo": 3,
        "repo-closed": 3,
        "repo-open": 3,
    }
    for arm, steps in record["steps"].items():
        for step in steps:
            phases = sum(seconds for name, seconds in step.items() if name != "at")
            assert 0 < phases <= step["at"] * 1.001
            assert (step["rewrite"] > 0) == (arm == "repo-open")
