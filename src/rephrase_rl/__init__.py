"""rephrase-rl: teach a language model from hard examples without breaking what it can do.

The public names load on first use, so importing the package costs nothing and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AlwaysGate": "rephrase_rl.guidance.gates",
    "FailedShareGate": "rephrase_rl.guidance.gates",
    "Finished": "rephrase_rl.guidance.acceptance",
    "Guidance": "rephrase_rl.guidance.blocks",
    "NoMetaText": "rephrase_rl.guidance.acceptance",
    "Problem": "rephrase_rl.records",
    "RePOTrainer": "rephrase_rl.trainers.trl.trainer",
    "RephraseSource": "rephrase_rl.guidance.sources",
    "ReplaceWorst": "rephrase_rl.guidance.slots",
    "RewardAboveReplaced": "rephrase_rl.guidance.acceptance",
    "RolloutGroup": "rephrase_rl.records",
    "RunDirectory": "rephrase_rl.runs",
    "StepContext": "rephrase_rl.guidance.blocks",
    "VerifierReward": "rephrase_rl.rewards",
    "get_verifier": "rephrase_rl.rewards",
    "load_config": "rephrase_rl.config",
    "load_problems": "rephrase_rl.data",
    "parse_config": "rephrase_rl.config",
    "preset_guidance": "rephrase_rl.assembly",
    "train_run": "rephrase_rl.assembly",
}
"""Public name -> module that defines it."""

__all__ = ["__version__", *_HOME]  # noqa: PLE0604  names are strings; ruff cannot see through *


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rephrase_rl' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
