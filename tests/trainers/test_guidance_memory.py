"""A resumed run takes up what guidance remembered: histories, caches, replay, the stream."""

from __future__ import annotations

import pytest
import torch

from rephrase_rl.assembly import train_run
from rephrase_rl.config import parse_config
from rephrase_rl.errors import CheckpointError
from rephrase_rl.runs import RunDirectory

pytestmark = pytest.mark.integration

METHODS = {
    # Easy problems have successes, so a replay enters wherever one is remembered.
    "replay": {"gate": {"kind": "always"}, "accept": []},
    "repo": {
        "source": {"cache_steps": 2},
        "gate": {"kind": "visits", "min_failed_visits": 1, "inner": {"kind": "always"}},
    },
    "relift": {"slot": {"size": 5, "learning_rate": 1e-3}},
    "chord": {},
}
REST = sorted({*METHODS} - {"replay", "repo"})
"""Their memory is in part that of the others."""


def config(method, steps):
    return parse_config(
        {
            "method": method,
            "model": {"path": "lab:base"},
            # Four problems, so that every one comes back at the next step.
            "data": {"path": "lab:mixed", "limit": 4},
            "guidance": METHODS[method],
            "trainer": {
                "max_steps": steps,
                "save_strategy": "steps",
                "save_steps": 2,
                "per_device_train_batch_size": 16,
                "num_generations": 4,
                "max_completion_length": 40,
                "learning_rate": 1e-3,
                # If not set it is measured, and a busy machine may answer otherwise.
                "bf16": False,
            },
        }
    )


@pytest.mark.parametrize(
    "method", ["replay", "repo", *(pytest.param(m, marks=pytest.mark.slow) for m in REST)]
)
def test_resumed_run_equals_the_uninterrupted_one(tmp_path, method) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for path in (whole, parts):
        train_run(config(method, 4), run_path=path, command=["test"])
    # As if it had been killed after the second step.
    (parts / "checkpoints" / "checkpoint-4").rename(tmp_path / "gone")
    train_run(config(method, 4), run_path=parts, command=["test"], resume=True)
    ours, theirs = (RunDirectory.open(path) for path in (parts, whole))
    assert (parts / "steps.jsonl").read_bytes() == (whole / "steps.jsonl").read_bytes()
    assert (parts / "groups.jsonl").read_bytes() == (whole / "groups.jsonl").read_bytes()
    assert len(ours.steps()) == len(theirs.steps()) == 4


def test_missing_memory_is_said(tmp_path) -> None:
    path = tmp_path / "run"
    train_run(config("replay", 4), run_path=path, command=["test"])
    (path / "checkpoints" / "checkpoint-4").rename(tmp_path / "gone")
    (path / "checkpoints" / "checkpoint-2" / "guidance-0.pt").unlink()
    with pytest.raises(CheckpointError, match=r"guidance-0\.pt"):
        train_run(config("replay", 4), run_path=path, command=["test"], resume=True)


def test_memory_is_loaded_without_running_code_from_the_file(tmp_path) -> None:
    path = tmp_path / "run"
    train_run(config("repo", 2), run_path=path, command=["test"])
    file = path / "checkpoints" / "checkpoint-2" / "guidance-0.pt"
    memory = torch.load(file, weights_only=True)
    parts = {"processes", "ledger", "source", "stream", "generation", "unlogged"}
    assert set(memory) == parts
    assert memory["ledger"], "the histories of the problems seen"
