"""Runs that watch their evaluations: kept policies, early ends, alarms; killed and gone on with."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from rephrase_rl.assembly import evaluate_policy, train_run
from rephrase_rl.config import parse_config
from rephrase_rl.runs import RunDirectory
from rephrase_rl.runs.watch import read_watch

pytestmark = pytest.mark.integration


def config(method: str = "grpo", **evaluation: Any):
    small = {"data": {"limit": 8}, "samples_per_problem": 1, "max_new_tokens": 16}
    return parse_config(
        {
            "method": method,
            "model": {"path": "lab:base", "dtype": "float32"},
            "data": {"path": "lab:mixed" if method == "grpo" else "lab:hard", "limit": 40},
            "trainer": {
                "max_steps": 6,
                "per_device_train_batch_size": 8,
                "num_generations": 4,
                "max_completion_length": 16 if method == "grpo" else 48,
                "learning_rate": 1e-2,  # far too high: imitation forgets within a few steps
                "bf16": False,
                "save_strategy": "steps",
                "save_steps": 1,
            },
            "evaluation": {
                "every_steps": 1,
                "before": True,
                "benchmarks": [
                    {"like": "lab_general", "name": "general", "limit": 8, **small},
                    {"like": "lab_hard", "name": "hard", "limit": 4, **small},
                ],
                **evaluation,
            },
        }
    )


def train(path: Path, chosen, **options: Any):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train_run(chosen, run_path=path, command=["test"], **options)


EARLY = {"early_stop": {"benchmark": "hard", "patience": 2}, "keep_best": "general"}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> RunDirectory:
    path = tmp_path_factory.mktemp("run") / "a"
    summary = train(path, config(**EARLY))
    assert summary.ended_early == "early stop: hard not better in 2 evaluations"
    return RunDirectory.open(path)


def test_training_ends_when_nothing_is_gained(stopped) -> None:
    # The hard problems are failed every time, so two evaluations in training bring no gain.
    assert [step.step for step in stopped.steps()] == [0, 1]
    assert stopped.summary["ended_early"].startswith("early stop")
    assert [r["since_best"] for r in read_watch(stopped.path)] == [1, 2]
    assert (stopped.checkpoints / "final" / "config.json").is_file()


def test_the_best_policy_is_kept_with_its_step(stopped) -> None:
    best = stopped.checkpoints / "best"
    records = read_watch(stopped.path)
    kept = json.loads((best / "step.json").read_text())["after_steps"]
    assert kept == records[-1]["best_step"]
    means = {e.step: e.result["avg_at_k"]["mean"] for e in stopped.evaluations()
             if e.benchmark == "general" and e.step > 0}  # fmt: skip
    assert kept == max(sorted(means), key=means.__getitem__)
    expected = load_file(stopped.checkpoints / f"checkpoint-{kept}" / "model.safetensors")
    found = load_file(best / "model.safetensors")
    assert all((found[name] == weight).all() for name, weight in expected.items())


def test_the_best_policy_can_be_evaluated_into_the_run(stopped) -> None:
    chosen = config(**EARLY).evaluation.benchmarks[0].model_copy(update={"name": "again"})
    best = stopped.checkpoints / "best"
    evaluate_policy(str(best), [chosen], seed=0, run_path=stopped.path)
    (entry,) = [e for e in stopped.evaluations() if e.benchmark == "again"]
    assert entry.step == json.loads((best / "step.json").read_text())["after_steps"]


def test_a_killed_run_decides_as_the_one_left_alone(stopped, tmp_path) -> None:
    def kill(view) -> None:
        if view.step == 2:
            raise KeyboardInterrupt

    path = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        train(path, config(**EARLY), on_step=kill)
    train(path, config(**EARLY), resume=True)
    for name in ("steps.jsonl", "watch.jsonl", "checkpoints/best/step.json"):
        assert (path / name).read_bytes() == (stopped.path / name).read_bytes(), name


def test_a_run_that_has_ended_does_not_train_on(stopped, tmp_path) -> None:
    path = tmp_path / "c"
    train(path, config(**EARLY))
    before = (path / "steps.jsonl").read_bytes()
    summary = train(path, config(**EARLY), resume=True)
    assert summary.ended_early.startswith("early stop")
    assert (path / "steps.jsonl").read_bytes() == before
    # Going back before the best policy's step removes it, until it is made again.
    summary = train(path, config(**EARLY), resume=True, resume_from="1")
    assert summary.ended_early.startswith("early stop")
    for name in ("steps.jsonl", "watch.jsonl", "checkpoints/best/step.json"):
        assert (path / name).read_bytes() == (stopped.path / name).read_bytes(), name


def test_forgetting_is_warned_of_and_ends_the_run_where_wanted(tmp_path) -> None:
    limit = {"benchmarks": "general", "max_drop": 0.3, "stop": True}
    with pytest.warns(
        UserWarning, match=r"FORGETTING: after step \d avg@k of general is [01]\.\d+"
    ):
        summary = train_run(
            config("sft", retention=limit), run_path=tmp_path / "d", command=["test"]
        )
    assert summary.ended_early.startswith("retention: general by ")
    run = RunDirectory.open(tmp_path / "d")
    last = read_watch(run.path)[-1]
    assert last["retention"]["general"]["alarm"] is True
    drop = last["retention"]["general"]
    assert drop["interval"]["mean"] == pytest.approx(drop["drop"])
    assert drop["interval"]["low"] <= drop["drop"] <= drop["interval"]["high"]
    assert len(run.steps()) == last["after_steps"] < 6
    assert not (run.checkpoints / "best").exists()
