"""A small study, and summaries as if its cells had been run."""

from __future__ import annotations

from typing import Any

from rephrase_rl.config import StudyConfig
from rephrase_rl.studies.cells import Cell

PLAIN: dict[str, Any] = {
    "name": "tiny",
    "pretraining_seeds": [0, 1, 2],
    "problems": 8,
    "protocols": {"mixed": {"hard": 0.5, "easy": 0.25}, "hard": {"hard": 1.0}},
    "run": {
        "rewards": [{"verifier": "exact"}],
        "trainer": {
            "max_steps": 2,
            "per_device_train_batch_size": 8,
            "num_generations": 2,
            "max_completion_length": 48,
            "shuffle_dataset": False,
        },
        "evaluation": {"every_steps": 1},
    },
    "validation": [
        {
            "name": name,
            "data": {"path": f"lab:{name}", "split": "check", "limit": 2},
            "max_new_tokens": 48,
        }
        for name in ("hard", "easy", "general")
    ],
    "test": [
        {
            "name": name,
            "data": {"path": f"lab:{name}", "limit": 5},
            "samples_per_problem": samples,
            "max_new_tokens": 48,
        }
        for name, samples in (("hard", 8), ("easy", 1), ("general", 1))
    ],
    "trained_problems": 2,
    "trained_samples": 2,
    "arms": {
        "sft": {"method": "sft", "texts": "all"},
        "rewrite_sft": {"method": "rewrite_sft", "texts": "all"},
        "sft_then_rl": {
            "method": "grpo",
            "rate_of": "grpo",
            "first": {"arm": "sft", "steps": 1},
            "test_steps": 1,
        },
        "grpo": {"method": "grpo"},
        "repo": {"method": "repo", "test_steps": 1},
    },
    "sweep": {"learning_rates": [1e-4, 2e-4], "seed": 60},
    "order": [
        {"kind": "sweep", "protocols": "mixed", "experts": ["alien", "near"], "arms": ["grpo"]},
        {
            "kind": "main",
            "protocols": "mixed",
            "experts": ["alien", "near"],
            "arms": ["base", "grpo"],
            "seeds": 4,
        },
    ],
}


def tiny_study(**changes: Any) -> StudyConfig:
    return StudyConfig.model_validate({**PLAIN, **changes})


def swept(cell: Cell, hard: float, kept: float = 1.0) -> dict[str, Any]:
    """Summary of a run of the sweep: hard 0 -> ``hard``, retention 1 -> ``kept``."""
    curve = [
        {"step": 0, "hard": 0.0, "easy": 1.0, "general": 1.0},
        {"step": 40, "hard": hard, "easy": kept, "general": kept},
    ]
    return {"format_version": 1, "id": cell.cell_id, "cell": cell.to_json(), "curve": curve}
