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
    name = f"weights-{cell.rewriter}-{cell.seed % 3}"
    return {
        "format_version": 1,
        "id": cell.cell_id,
        "cell": cell.to_json(),
        "policy": {"name": name, "pretraining_seed": cell.seed % 3, "sha256": name},
        "git": {"commit": "c" * 40, "dirty": False, "reason": None},
        "versions": {"torch": "2"},
        "hardware": {"cpu": "a CPU"},
        "started_at": "2026-01-01T00:00:00+00:00",
        "curve": curve,
        "test": {},
    }


def digits_of(hard: float, kept: float, problems: int = 40) -> dict[str, Any]:
    """What a summary holds of a test: the first share of the problems solved, always."""
    right = round(hard * problems)
    first = "4" * right + "0" * (problems - right)
    kept_digits = "1" * round(kept * problems) + "0" * (problems - round(kept * problems))
    names = ("dedupe", "reverse", "shift", "sort", "swap")
    return {
        "hard": {"first": first, "all": first.replace("4", "8"), "samples": 8},
        "trained": {"first": first[:10], "all": first[:10], "samples": 8},
        "easy": {"chain": kept_digits, "samples": 1},
        "general": {**dict.fromkeys(names, kept_digits), "samples": 1},
    }


def finished(cell: Cell, hard: float = 0.0, kept: float = 1.0, **more: Any) -> dict[str, Any]:
    """Summary of a cell of the study proper, or of a starting policy; 40 steps."""
    summary = swept(cell, hard, kept)
    summary |= {
        "test": {"0" if cell.arm == "base" else "40": digits_of(hard, kept)},
    }
    if cell.arm == "base":
        summary["bars"] = {
            "easy_accuracy": {"3": 1.0},
            "hard_success": 0.0,
            "rewriting": {"alien": 0.99},
            "abilities": {"sort": 0.98},
            "expert_nll": {"alien": 10.0},
            "own_nll": 0.4,
        }
        del summary["curve"]
        return summary
    return summary | {
        "first_steps": 0,
        "steps": 40,
        "tokens_by_step": [100 * (i + 1) for i in range(40)],
        "cpu_s_by_step": [0.5 * (i + 1) for i in range(40)],
        "cpu_s": 20.0,
        "series": {"grad_norm": [0.5] * 40, "own_logp": [-0.4] * 40},
        **more,
    }
