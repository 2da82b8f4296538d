"""Whole runs on the lab: what they leave, that they repeat bit for bit, and that they resume."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from rephrase_rl.assembly import evaluate_policy, train_run
from rephrase_rl.config import BenchmarkConfig, load_config, parse_config
from rephrase_rl.errors import CheckpointError, ConfigError, DataError
from rephrase_rl.reports import write_report
from rephrase_rl.runs import RunDirectory

pytestmark = pytest.mark.integration


def config(**changes: Any):
    raw: dict[str, Any] = {
        "method": "repo",
        "model": {"path": "lab:base", "dtype": "float32"},
        "data": {"path": "lab:mixed", "limit": 200},
        "seed": 3,
        "trainer": {
            "max_steps": 4,
            "per_device_train_batch_size": 16,
            "num_generations": 4,
            "max_completion_length": 40,
            "learning_rate": 1e-4,
            # If not set it is measured, and a busy machine may answer otherwise.
            "bf16": False,
            "shuffle_dataset": False,
        },
        "evaluation": {
            "before": True,
            "benchmarks": [
                {
                    "name": "easy",
                    "data": {"path": "lab:easy", "limit": 6},
                    "max_new_tokens": 40,
                }
            ],
        },
    }
    trainer = raw["trainer"] | changes.pop("trainer", {})
    return parse_config(raw | {"trainer": trainer} | changes)


def run(path: Path, **options: Any) -> RunDirectory:
    chosen = options.pop("config", None) or config()
    train_run(chosen, run_path=path, command=["test"], **options)
    return RunDirectory.open(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunDirectory:
    return run(tmp_path_factory.mktemp("run") / "a")


def test_run_leaves_what_reports_need(finished) -> None:
    assert [step.step for step in finished.steps()] == [0, 1, 2, 3]
    groups = list(finished.groups())
    assert len(groups) == 4 * 4
    assert {len(g.members) for g in groups} == {4}
    assert any(g.gate_open and g.candidates for g in groups), "no rewrite was ever asked for"
    assert {(e.step, e.benchmark) for e in finished.evaluations()} == {(0, "easy"), (4, "easy")}
    assert finished.summary["generated_tokens"] == sum(
        step.metrics["tokens/rollout"] + step.metrics["tokens/rephrase"]
        for step in finished.steps()
    )
    manifest = finished.manifest
    assert manifest["method"] == "repo"
    assert set(manifest["templates"]) == {"lab-solve-v1", "lab-rephrase-v1"}
    assert len(manifest["data"]["train"]) == 64
    assert manifest["deviations"]


def test_accepted_candidates_keep_their_tokens(finished) -> None:
    accepted = [c for g in finished.groups() for c in g.candidates if c.accepted]
    assert accepted
    for candidate in accepted:
        tokens = candidate.tokens
        assert "".join(tokens.pieces) == candidate.text
        assert len(tokens.pieces) == len(tokens.logps_on_context) == candidate.num_tokens
        assert fmean(tokens.logps_on_q) == pytest.approx(candidate.logp_on_q, abs=1e-4)
        assert fmean(tokens.logps_on_context) == pytest.approx(candidate.logp_on_context, abs=1e-4)


def test_every_logged_name_is_deterministic_or_a_time(finished) -> None:
    names = set(finished.steps()[0].metrics)
    assert not {name for name in names if "time" in name or "second" in name or name[-2:] == "_s"}
    assert {"time/step_s", "memory/host_peak_bytes"} <= set(finished.timings()[0].timings)


def test_every_own_metric_is_documented(finished) -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    own = ("groups/", "gate/", "injection/", "tokens/", "time/", "memory/")
    names = {*finished.steps()[0].metrics, *finished.timings()[0].timings}
    assert not [n for n in names if n.startswith(own) and f"`{n}`" not in text]


def test_same_run_twice_is_bitwise_equal(finished, tmp_path) -> None:
    again = run(tmp_path / "b")
    for name in ("steps.jsonl", "groups.jsonl"):
        assert (again.path / name).read_bytes() == (finished.path / name).read_bytes(), name
    other = run(tmp_path / "c", config=config(seed=4))
    assert (other.path / "steps.jsonl").read_bytes() != (finished.path / "steps.jsonl").read_bytes()


def test_evaluating_in_between_changes_nothing(finished, tmp_path) -> None:
    evaluation = config().evaluation.model_dump(mode="json") | {"every_steps": 1}
    often = run(tmp_path / "often", config=config(evaluation=evaluation))
    assert (often.path / "steps.jsonl").read_bytes() == (finished.path / "steps.jsonl").read_bytes()
    assert {e.step for e in often.evaluations()} == {0, 1, 2, 3, 4}
    for row in often.timings():
        assert 0 < row.timings["time/evaluation_s"] < row.timings["time/step_s"]
    assert "time/evaluation_s" not in finished.timings()[0].timings


def test_policy_is_kept_if_its_last_evaluation_fails(tmp_path, monkeypatch) -> None:
    from rephrase_rl.assembly import in_training
    from rephrase_rl.errors import EvaluationError

    def broken(*args: Any, **kwargs: Any) -> None:
        raise EvaluationError("no verdicts")

    monkeypatch.setattr(in_training, "run_benchmarks", broken)
    evaluation = config().evaluation.model_dump(mode="json") | {"before": False}
    with pytest.raises(EvaluationError):
        run(tmp_path / "a", config=config(evaluation=evaluation))
    assert (tmp_path / "a" / "checkpoints" / "final" / "model.safetensors").is_file()
    assert RunDirectory.open(tmp_path / "a").summary["generated_tokens"] > 0


def test_missing_benchmark_is_told_before_training(tmp_path) -> None:
    missing = {"benchmarks": [{"name": "b", "data": {"path": str(tmp_path / "no.jsonl")}}]}
    with pytest.raises(DataError):
        run(tmp_path / "a", config=config(evaluation=missing))
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_twenty_steps_twice_are_bitwise_equal(tmp_path) -> None:
    long = config(trainer={"max_steps": 20})
    first, second = (run(tmp_path / name, config=long) for name in "ab")
    assert (first.path / "steps.jsonl").read_bytes() == (second.path / "steps.jsonl").read_bytes()


def test_resolved_configuration_is_a_valid_input(finished) -> None:
    from rephrase_rl.methods import resolve_config

    again = load_config(finished.path / "config.yaml", [])
    assert resolve_config(again) == again


def test_resume_goes_on_from_the_last_checkpoint(finished, tmp_path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    broken = config(trainer=saving)
    path = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        run(path, config=broken, on_step=_interrupt_at(3))
    assert [step.step for step in RunDirectory.open(path).steps()] == [0, 1, 2]
    resumed = run(path, config=broken, resume=True)
    assert [step.step for step in resumed.steps()] == [0, 1, 2, 3]
    # The interruption fell into step 2; steps 2 and 3 were done again from the checkpoint.
    for name in ("steps.jsonl", "groups.jsonl"):
        assert (resumed.path / name).read_bytes() == (finished.path / name).read_bytes(), name
    assert {e.step for e in resumed.evaluations()} == {0, 4}


def _interrupt_at(step: int):
    def on_step(view) -> None:
        if view.step == step:
            raise KeyboardInterrupt

    return on_step


def test_resume_needs_a_checkpoint_and_the_same_configuration(finished, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        run(finished.path, resume=True)
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 2}
    run(tmp_path / "a", config=config(trainer=saving))
    with pytest.raises(ConfigError, match="another configuration"):
        run(tmp_path / "a", config=config(trainer=saving, seed=9), resume=True)


def test_existing_run_is_not_overwritten_unasked(finished) -> None:
    before = (finished.path / "steps.jsonl").read_bytes()
    with pytest.raises(CheckpointError):
        run(finished.path)
    assert (finished.path / "steps.jsonl").read_bytes() == before


def test_final_policy_can_be_evaluated_and_reported(finished) -> None:
    benchmark = BenchmarkConfig.model_validate(
        {"name": "hard", "data": {"path": "lab:hard", "limit": 4}, "max_new_tokens": 40}
    )
    results = evaluate_policy(str(finished.path), [benchmark], seed=0, run_path=finished.path)
    assert results["hard"].num_problems == 4
    stored = [e for e in finished.evaluations() if e.benchmark == "hard"]
    assert [e.step for e in stored] == [4]
    with pytest.raises(ConfigError, match="another policy's run"):
        evaluate_policy("lab:base", [benchmark], seed=0, run_path=finished.path)
    paths = write_report(finished.path)
    card = paths.card_markdown.read_text()
    assert "repo" in card
    assert "lab-rephrase-v1" in card


def test_unknown_trainer_field_is_refused_with_a_hint(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean trainer\.learning_rate"):
        run(tmp_path / "x", config=config(trainer={"learning_rates": 1.0}))
    assert not (tmp_path / "x").exists(), "a refused run leaves nothing behind"
    with pytest.raises(ConfigError, match=r"guidance\.advantages\.scale"):
        run(tmp_path / "y", config=config(trainer={"scale_rewards": "none"}))
