"""``demo``: one setting for both arms, a summary for machines, and a check with teeth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rephrase_rl.cli.demo import demo_config
from rephrase_rl.config import config_to_plain


def run_demo(cli, tmp_path: Path, *options: str):
    return cli("demo", "--out", tmp_path / "demo", *options)


def test_summary_table_and_report(cli, assembly, reports, tmp_path: Path) -> None:
    outcome = run_demo(cli, tmp_path)
    assert outcome.status == 0
    assert "the expected learning was seen" in outcome.out
    assert "0.900 (0.85 to 0.95)" in outcome.out
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert list(summary["arms"]) == ["base", "grpo", "repo"]
    repo = summary["arms"]["repo"]
    assert repo["hard"] == {"mean": 0.9, "low": pytest.approx(0.85), "high": pytest.approx(0.95)}
    assert (repo["generated_tokens"], repo["wall_s"]) == (2000, 2.0)
    folders = [tmp_path / "demo" / name for name in ("grpo", "repo")]
    assert reports == [*(("write_report", f) for f in folders), ("write_comparison", folders)]
    assert str(tmp_path / "demo" / "report" / "index.html") in outcome.out


def test_both_arms_and_the_base_get_the_same_setting(cli, assembly, reports, tmp_path) -> None:
    run_demo(cli, tmp_path, "--seed", "3")
    (_, base), (_, grpo), (_, repo) = assembly.calls
    assert (base.model, base.seed) == ("lab:base", 3)
    assert (grpo.config.seed, repo.config.seed) == (3, 3)
    assert list(base.benchmarks) == list(grpo.config.evaluation.benchmarks)
    assert {b.name: b.data.split for b in base.benchmarks} == dict.fromkeys(
        ("hard", "easy", "general"), "test"
    )
    differences = {
        key
        for key, value in config_to_plain(grpo.config).items()
        if value != config_to_plain(repo.config)[key]
    }
    assert differences == {"method"}


@pytest.mark.parametrize(
    ("arm", "benchmark", "score"),
    [
        ("repo", "hard", 0.59),
        ("repo", "hard", float("nan")),
        ("grpo", "hard", 0.03),
        ("repo", "easy", 0.94),
        ("repo", "general", 0.92),
    ],
)
def test_missing_learning_is_status_1(
    cli, assembly, reports, tmp_path: Path, arm: str, benchmark: str, score: float
) -> None:
    assembly.scores[arm][benchmark] = score
    outcome = run_demo(cli, tmp_path)
    assert outcome.status == 1
    assert "not as expected" in outcome.out
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    stored = summary["arms"][arm][benchmark]["mean"]
    assert stored == (None if score != score else score)
    assert run_demo(cli, tmp_path, "--no-check").status == 0


def test_one_arm_fewer_steps_and_overrides(cli, assembly, reports, tmp_path: Path) -> None:
    assembly.scores["repo"]["hard"] = 0.0
    outcome = run_demo(cli, tmp_path, "--arm", "repo", "--steps", "5", "--set",
                       "guidance.gate.kind=never")  # fmt: skip
    assert outcome.status == 0
    assert "learning is not checked after 5 steps" in outcome.out
    (_, _), (_, repo) = assembly.calls
    assert repo.config.trainer["max_steps"] == 5
    assert repo.config.guidance == {"gate": {"kind": "never"}}
    assert [name for name, _ in reports] == ["write_report"]


def test_unknown_arm_is_the_users_error(cli, assembly, tmp_path: Path) -> None:
    outcome = run_demo(cli, tmp_path, "--arm", "luffy")
    assert (outcome.status, "required: grpo or repo" in outcome.err) == (2, True)
    assert assembly.calls == []


def test_arms_differ_in_the_method_and_in_nothing_else() -> None:
    grpo, repo = demo_config("grpo", seed=5), demo_config("repo", seed=5)
    assert (grpo.method, repo.method, repo.seed) == ("grpo", "repo", 5)
    assert grpo == repo.model_copy(update={"method": "grpo"})
