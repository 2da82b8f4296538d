"""From configuration to objects: the only package that knows both.

``objects`` builds data, policy, rewards and guidance; ``evaluating`` and ``training`` run them.
Importing this package imports torch, so the command line does it inside its commands.
"""

from rephrase_rl.assembly.blocks import build_guidance, preset_guidance
from rephrase_rl.assembly.checking import CheckOptions, check_data
from rephrase_rl.assembly.dry_running import DryRun, dry_run
from rephrase_rl.assembly.evaluating import EvaluationOptions, EvaluationSetting, evaluate_policy
from rephrase_rl.assembly.experts import ExpertsSummary, sample_experts
from rephrase_rl.assembly.mining import MiningSummary, mine
from rephrase_rl.assembly.objects import column_mapping, load_data, load_model
from rephrase_rl.assembly.offline_rewrites import RewritesSummary
from rephrase_rl.assembly.rephrasing import rephrase
from rephrase_rl.assembly.training import RunSummary, StepView, train_run

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
    "load_data",
    "load_model",
    "mine",
    "preset_guidance",
    "rephrase",
    "sample_experts",
    "train_run",
]
