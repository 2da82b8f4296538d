"""The lab's learning: RePO learns hard problems within some steps, and only through its gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from rephrase_rl.assembly import train_run
from rephrase_rl.cli.demo import BENCHMARKS, demo_config, learning_faults
from rephrase_rl.runs import RunDirectory

pytestmark = pytest.mark.integration

SHORT = [
    "trainer.max_steps=14",
    "evaluation.before=false",
    "evaluation.benchmarks.hard.limit=40",
    "evaluation.benchmarks.hard.samples_per_problem=1",
    "evaluation.benchmarks.easy.limit=10",
    "evaluation.benchmarks.general.limit=10",
]
"""A third of the demo: the policy then solves about half of the hard problems."""


def hard_accuracy(path: Path, *overrides: str) -> float:
    config = demo_config("repo", seed=0, overrides=[*SHORT, *overrides])
    summary = train_run(config, run_path=path, command=["test"])
    return summary.evaluations["hard"].avg_at_k.mean


def test_repo_learns_hard_problems_in_few_steps(tmp_path) -> None:
    assert hard_accuracy(tmp_path / "repo") >= 0.25
    rescued = [g for g in RunDirectory.open(tmp_path / "repo").groups() if g.rescued]
    assert len(rescued) >= 10


def test_nothing_is_learned_with_the_gate_disabled(tmp_path) -> None:
    """The test above has teeth: the same run without its gate stays where GRPO stays."""
    assert hard_accuracy(tmp_path / "closed", "guidance.gate.kind=never") <= 0.05


@pytest.mark.slow
def test_demo_fails_its_own_check_with_the_gate_disabled(tmp_path) -> None:
    from rephrase_rl.assembly import EvaluationSetting, evaluate_policy

    config = demo_config("repo", seed=0)
    setting = EvaluationSetting.of_run(config)
    base = evaluate_policy("lab:base", config.evaluation.benchmarks, seed=0, setting=setting)
    closed = demo_config("repo", seed=0, overrides=["guidance.gate.kind=never"])
    for name, tried, expected in (("open", config, 0), ("closed", closed, 1)):
        after = train_run(tried, run_path=tmp_path / name, command=["test"]).evaluations
        faults = learning_faults({"base": base, "repo": after})
        assert len(faults) == expected, faults
    assert set(base) == set(BENCHMARKS)
