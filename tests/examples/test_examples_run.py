"""The examples of blocks of one's own run as a user would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.integration


def run(example: str, out: Path, *options: str) -> str:
    # From another folder: an example must not depend on where it is started.
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example), "--out", str(out), *options],
        capture_output=True,
        text=True,
        cwd=out.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def groups(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "groups.jsonl").read_text().splitlines()]


def test_custom_gate_opens_at_the_second_visit_of_a_problem_that_fails(tmp_path) -> None:
    printed = run("custom_gate.py", tmp_path / "run", "--steps", "4")
    assert "step 3: gate open for" in printed
    seen: set[str] = set()
    opened = 0
    for group in groups(tmp_path / "run"):
        again = group["problem_id"] in seen
        if group["failure_fraction"] == 1.0:
            assert group["gate_open"] == again
            opened += group["gate_open"]
        seen.add(group["problem_id"])
    assert opened > 0


def test_custom_gate_is_short() -> None:
    text = (ROOT / "examples" / "custom_gate.py").read_text()
    gate = text[text.index("@dataclass(frozen=True)\nclass") : text.index("def main")]
    lines = [line for line in gate.splitlines() if line.strip()]
    assert len(lines) <= 15


def test_custom_reward_counts_beside_the_verifier(tmp_path) -> None:
    printed = run("custom_reward.py", tmp_path / "run", "--steps", "2")
    assert "exact 0." in printed
    members = [m for group in groups(tmp_path / "run") for m in group["members"]]
    assert {m["correctness"] for m in members} == {0.0, 1.0}
    for member in members:
        short = max(0.0, 1.0 - len(member["text"]) / 40)
        assert abs(member["reward"] - (member["correctness"] + 0.1 * short)) < 1e-6
