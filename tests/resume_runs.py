"""Small runs on the lab that are broken off, gone on with and compared byte by byte."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rephrase_rl.assembly import train_run
from rephrase_rl.config import parse_config
from rephrase_rl.runs import checkpoints

COMPARED = (
    *("steps.jsonl", "groups.jsonl"),
    *("checkpoints/final/model.safetensors", "checkpoints/final/adapter_model.safetensors"),
)


def config(
    method: str = "repo",
    *,
    guidance: Any = None,
    evaluation: Any = None,
    lora: Any = None,
    **trainer: Any,
):
    """Groups of 4; a checkpoint after every step; order shuffled; four problems are an epoch."""
    raw: dict[str, Any] = {
        "method": method,
        "model": {"path": "lab:base", "lora": lora},
        "data": {"path": "lab:mixed", "limit": 4},
        "guidance": guidance or {},
        "seed": 5,
        "trainer": {
            "max_steps": 5,
            "save_strategy": "steps",
            "save_steps": 1,
            "per_device_train_batch_size": 4,
            "num_generations": 4,
            "max_completion_length": 40,
            "learning_rate": 1e-3,
            "bf16": False,
        }
        | trainer,
    }
    return parse_config(raw | ({"evaluation": evaluation} if evaluation else {}))


def train(chosen: Any, path: Path, **options: Any) -> Path:
    """Train and return the run directory."""
    train_run(chosen, run_path=path, command=["test"], **options)
    return path


def as_killed_after(whole: Path, step: int, path: Path) -> Path:
    """A copy of a finished run as a kill leaves it in the step after this one."""
    shutil.copytree(whole, path)
    for folder in checkpoints.all_checkpoints(path / "checkpoints"):
        if checkpoints.step_of(folder) > step:
            shutil.rmtree(folder)
    shutil.rmtree(path / "checkpoints" / "final")
    (path / "summary.json").unlink()
    return path


def differences(one: Path, other: Path) -> list[str]:
    """Files that are not the same bytes; a run without groups has none in either."""
    return [name for name in COMPARED if _content(one / name) != _content(other / name)]


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None
