"""Whole supervised runs on the lab: what they leave, resume, rewriting, and RL after them."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from rephrase_rl.assembly import load_data, train_run
from rephrase_rl.assembly.rewriting import RewriteRecord
from rephrase_rl.config import parse_config
from rephrase_rl.errors import CheckpointError, ConfigError, DataError
from rephrase_rl.records import from_json
from rephrase_rl.runs import RunDirectory, jsonl

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*are not trained on.*")
        yield


def config(method: str = "sft", **changes: Any):
    raw: dict[str, Any] = {
        "method": method,
        "model": {"path": "lab:base"},
        "data": {"path": "lab:hard", "limit": 12},
        "seed": 3,
        "trainer": {
            "max_steps": 5,
            "per_device_train_batch_size": 16,
            "num_generations": 4,
            "max_completion_length": 40,
            "learning_rate": 1e-4,
            # If not set it is measured, and a busy machine may answer otherwise.
            "bf16": False,
        },
    }
    trainer = raw["trainer"] | changes.pop("trainer", {})
    return parse_config(raw | {"trainer": trainer} | changes)


def run(path: Path, chosen: Any = None, **options: Any) -> RunDirectory:
    train_run(chosen or config(), run_path=path, command=["test"], **options)
    return RunDirectory.open(path)


def rewrites(directory: RunDirectory) -> list[RewriteRecord]:
    lines = jsonl.read_lines(directory.path / "rewrites.jsonl")
    return [from_json(RewriteRecord, line) for line in lines]


def final_weights(directory: RunDirectory) -> bytes:
    return (directory.checkpoints / "final" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunDirectory:
    return run(tmp_path_factory.mktemp("sft") / "a")


def test_run_leaves_what_an_rl_run_leaves(tmp_path) -> None:
    benchmark = {"name": "easy", "data": {"path": "lab:easy", "limit": 4}, "max_new_tokens": 40}
    evaluation = {"before": True, "benchmarks": [benchmark]}
    directory = run(tmp_path / "a", config(evaluation=evaluation))
    assert [step.step for step in directory.steps()] == [0, 1, 2, 3, 4]
    assert {(e.step, e.benchmark) for e in directory.evaluations()} == {(0, "easy"), (5, "easy")}
    assert directory.summary["generated_tokens"] == 0
    manifest = directory.manifest
    assert manifest["training_texts"] == {"expert_text": 12}
    assert {"beta", "temperature"} <= set(manifest["unused_trainer_fields"])
    assert not {"num_generations", "learning_rate"} & set(manifest["unused_trainer_fields"])
    assert set(manifest["templates"]) == {"lab-solve-v1", "lab-rephrase-v1"}


def test_loss_on_few_problems_falls(finished) -> None:
    losses = [step.metrics["loss"] for step in finished.steps()]
    assert losses[-1] < 0.9 * losses[0]


def test_every_own_metric_is_documented(finished) -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    names = {*finished.steps()[0].metrics, *finished.timings()[0].timings} - {"step_time"}
    assert not [name for name in names if f"`{name}`" not in text]


def test_resumed_run_equals_an_uninterrupted_one(finished, tmp_path) -> None:
    # Three steps are an epoch, so the checkpoint after step 4 lies within the second.
    saving = {"save_strategy": "steps", "save_steps": 4}

    def interrupt(view: Any) -> None:
        if view.step == 5:
            raise KeyboardInterrupt

    path = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt):
        run(path, config(trainer=saving), on_step=interrupt)
    resumed = run(path, config(trainer=saving), resume=True)
    assert (resumed.path / "steps.jsonl").read_bytes() == (
        finished.path / "steps.jsonl"
    ).read_bytes()
    assert final_weights(resumed) == final_weights(finished)


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_run_stopped_after_its_last_step_is_only_finished(tmp_path, method) -> None:
    saving = config(method, trainer={"save_strategy": "steps", "save_steps": 2, "max_steps": 2})
    whole = run(tmp_path / "a", saving)
    weights = final_weights(whole)
    shutil.rmtree(whole.checkpoints / "final")
    resumed = run(tmp_path / "a", saving, resume=True)
    assert [step.step for step in resumed.steps()] == [0, 1]
    assert final_weights(resumed) == weights


def test_what_is_not_trained_on_is_counted_and_said(tmp_path) -> None:
    mixed = config(data={"path": "lab:mixed", "limit": 16}, trainer={"max_steps": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match=r"8 of 16 problems .*no_expert: 8"):
            run(tmp_path / "a", mixed)


def test_too_long_a_text_is_left_out_whole(tmp_path, monkeypatch) -> None:
    from rephrase_rl.assembly import problems

    def one_is_long(data: Any) -> list[Any]:
        first, *others = load_data(data)
        return [dataclasses.replace(first, expert_solution=first.expert_solution * 2), *others]

    monkeypatch.setattr(problems, "load_data", one_is_long)
    directory = run(tmp_path / "a", config(trainer={"max_steps": 1}))
    assert directory.manifest["training_texts"] == {"expert_text": 11, "over_length": 1}


def test_nothing_to_train_on_is_told_before_the_run_starts(tmp_path) -> None:
    with pytest.raises(DataError, match="over_length: 12"):
        run(tmp_path / "a", config(trainer={"max_completion_length": 2}))
    with pytest.raises(DataError, match="expert_solution"):
        run(tmp_path / "a", config(data={"path": "lab:easy", "limit": 4}))
    assert not (tmp_path / "a").exists()


def test_blocks_without_use_are_refused(tmp_path) -> None:
    for guidance, word in (
        ({"gate": {"kind": "failed_share"}}, "gate"),
        ({"accept": ["correct"]}, "accept"),
        ({"source": {"over_length": "truncate"}}, "over_length"),
    ):
        with pytest.raises(ConfigError, match=word):
            run(tmp_path / "a", config(guidance=guidance))


def test_rewrites_are_trained_on_and_kept(tmp_path, finished) -> None:
    directory = run(tmp_path / "a", config("rewrite_sft"))
    records = rewrites(directory)
    accepted = [record for record in records if record.outcome == "accepted"]
    assert len(records) == 12
    assert accepted
    assert all(c.reward == 1.0 and c.finished for r in accepted for c in r.candidates)
    manifest = directory.manifest
    assert manifest["rewriting"]["accepted"] == len(accepted)
    assert manifest["training_texts"]["rewrite"] == len(accepted)
    assert sum(manifest["training_texts"].values()) == 12
    assert "temperature" not in manifest["unused_trainer_fields"]
    first, second = directory.steps()[:2]
    sampled = sum(record.num_sampled_tokens for record in records)
    assert first.metrics["tokens/rephrase"] == sampled == directory.summary["generated_tokens"] > 0
    assert second.metrics["tokens/rephrase"] == 0
    # The policy's own words are far likelier than the expert's.
    theirs = finished.steps()[0].metrics["injection/logp_on_q"]
    assert first.metrics["injection/logp_on_q"] > theirs + 1.0


def test_resumed_rewriting_run_reads_its_rewrites(tmp_path, monkeypatch) -> None:
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2}
    whole = run(tmp_path / "whole", config("rewrite_sft", trainer=saving))

    def interrupt(view: Any) -> None:
        if view.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", config("rewrite_sft", trainer=saving), on_step=interrupt)
    from rephrase_rl.assembly import supervised

    monkeypatch.setattr(supervised, "rewrite_problems", None)
    resumed = run(tmp_path / "a", config("rewrite_sft", trainer=saving), resume=True)
    assert final_weights(resumed) == final_weights(whole)
    assert resumed.summary["generated_tokens"] == whole.summary["generated_tokens"] > 0


def test_refused_rewrites_fall_back_or_are_skipped(tmp_path) -> None:
    # No rewrite is that short, so every one is refused.
    hopeless = {"accept": [{"kind": "within_length", "max_tokens": 1}]}
    short = {"max_steps": 1}
    directory = run(tmp_path / "a", config("rewrite_sft", guidance=hopeless, trainer=short))
    assert directory.manifest["training_texts"] == {"expert_text": 12}
    assert directory.manifest["rewriting"] == {"refused": 12, "refused/within_length": 12}
    skip = hopeless | {"slot": {"fallback": "skip"}}
    with pytest.raises(DataError, match="refused: 12"):
        run(tmp_path / "b", config("rewrite_sft", guidance=skip, trainer=short))


def test_rl_starts_from_the_policy_of_a_supervised_run(finished, tmp_path) -> None:
    # A learning rate of 0 leaves the weights that the run started from.
    still = {"max_steps": 1, "learning_rate": 0.0}
    rl = run(tmp_path / "rl", config("grpo", init_from=str(finished.path), trainer=still))
    before = load_file(finished.checkpoints / "final" / "model.safetensors")
    after = load_file(rl.checkpoints / "final" / "model.safetensors")
    assert all((before[name] == after[name]).all() for name in before)
    entry = rl.manifest["init_from"]
    assert entry["path"] == str(finished.path)
    assert entry["policy"] == str(finished.checkpoints / "final")
    assert entry["method"] == "sft"
    assert entry["config_hash"] == finished.manifest["config_hash"]


def test_unfinished_run_is_no_start(finished, tmp_path) -> None:
    unfinished = tmp_path / "unfinished"
    RunDirectory.create(unfinished, {}, "")
    for method in ("grpo", "sft"):
        with pytest.raises(CheckpointError, match="without a final policy"):
            run(tmp_path / "a", config(method, init_from=str(unfinished)))
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_sft_on_rewrites_keeps_more_of_the_old_ability(tmp_path) -> None:
    names = ("easy", "hard")
    benchmarks = [
        {"name": n, "data": {"path": f"lab:{n}", "limit": 60}, "max_new_tokens": 40} for n in names
    ]
    trainer = {"max_steps": 60, "learning_rate": 1e-4}
    results = {}
    for method in ("sft", "rewrite_sft"):
        chosen = config(
            method,
            data={"path": "lab:hard", "limit": 400},
            trainer=trainer,
            evaluation={"before": True, "benchmarks": benchmarks},
        )
        directory = run(tmp_path / method, chosen)
        results[method] = {
            (e.step, e.benchmark): e.result["avg_at_k"]["mean"] for e in directory.evaluations()
        }
    rewritten, plain = results["rewrite_sft"], results["sft"]
    assert rewritten[60, "hard"] > rewritten[0, "hard"] + 0.2
    assert rewritten[60, "easy"] > plain[60, "easy"]
