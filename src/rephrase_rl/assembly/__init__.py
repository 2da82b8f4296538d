"""From configuration to objects: the only package that knows both.

``objects`` builds data, policy, rewards and guidance; ``evaluating`` and ``training`` run them.
Names load on first use: workers of verl build rewards and guidance without trl.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rephrase_rl.assembly.blocks import build_guidance, preset_guidance
    from rephrase_rl.assembly.checking import CheckOptions, check_data
    from rephrase_rl.assembly.dry_running import DryRun, dry_run
    from rephrase_rl.assembly.evaluating import (
        EvaluationOptions,
        EvaluationSetting,
        evaluate_policy,
    )
    from rephrase_rl.assembly.experts import ExpertsSummary, sample_experts
    from rephrase_rl.assembly.harness import evaluate_with_harness
    from rephrase_rl.assembly.mining import MiningSummary, mine
    from rephrase_rl.assembly.objects import column_mapping, load_data, load_model
    from rephrase_rl.assembly.offline_rewrites import RewritesSummary
    from rephrase_rl.assembly.rephrasing import rephrase
    from rephrase_rl.assembly.training import RunSummary, StepView, train_run

_HOME = {
    "CheckOptions": "checking",
    "DryRun": "dry_running",
    "EvaluationOptions": "evaluating",
    "EvaluationSetting": "evaluating",
    "ExpertsSummary": "experts",
    "MiningSummary": "mining",
    "RewritesSummary": "offline_rewrites",
    "RunSummary": "training",
    "StepView": "training",
    "build_guidance": "blocks",
    "check_data": "checking",
    "column_mapping": "objects",
    "dry_run": "dry_running",
    "evaluate_policy": "evaluating",
    "evaluate_with_harness": "harness",
    "load_data": "objects",
    "load_model": "objects",
    "mine": "mining",
    "preset_guidance": "blocks",
    "rephrase": "rephrasing",
    "sample_experts": "experts",
    "train_run": "training",
}
"""Public name -> module of this package that defines it."""

__all__ = [
    "CheckOptions",
    "DryRun",
    "EvaluationOptions",
    "EvaluationSetting",
    "ExpertsSummary",
    "MiningSummary",
    "RewritesSummary",
    "RunSummary",
    "StepView",
    "build_guidance",
    "check_data",
    "column_mapping",
    "dry_run",
    "evaluate_policy",
    "evaluate_with_harness",
    "load_data",
    "load_model",
    "mine",
    "preset_guidance",
    "rephrase",
    "sample_experts",
    "train_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
