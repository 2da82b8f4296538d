"""Generation: what an engine is, and the one that samples with transformers.

``SamplingSettings``, ``Engine`` and ``prompt_token_ids`` need no torch; the rest brings torch and
transformers in when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.rollout.engine import Engine, Journal, ProgressCallback
from rephrase_rl.rollout.prompt_ids import prompt_token_ids
from rephrase_rl.rollout.settings import SamplingSettings

if TYPE_CHECKING:
    from rephrase_rl.rollout.policy import LoadedPolicy, load_policy, load_tokenizer
    from rephrase_rl.rollout.transformers_engine import TransformersEngine

__all__ = [
    "Engine",
    "Journal",
    "LoadedPolicy",
    "ProgressCallback",
    "SamplingSettings",
    "TransformersEngine",
    "load_policy",
    "load_tokenizer",
    "prompt_token_ids",
]

_HEAVY = {
    "LoadedPolicy": "rephrase_rl.rollout.policy",
    "TransformersEngine": "rephrase_rl.rollout.transformers_engine",
    "load_policy": "rephrase_rl.rollout.policy",
    "load_tokenizer": "rephrase_rl.rollout.policy",
}


def __getattr__(name: str) -> Any:
    """Import a name that needs torch when it is used, so that configuration code stays light."""
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HEAVY[name]), name)
