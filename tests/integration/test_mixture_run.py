"""A short run of the mixture recipe: what each of its sets leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rephrase_rl.assembly import train_run
from rephrase_rl.config import load_config
from rephrase_rl.guidance.dataset_figures import dataset_metrics
from rephrase_rl.reports import write_report
from rephrase_rl.runs import RunDirectory

pytestmark = pytest.mark.integration

RECIPE = Path(__file__).parents[2] / "recipes" / "lab_mixture.yaml"
SETS = ("easy", "general", "hard")
SHORT = (
    "trainer.max_steps=3",
    "trainer.per_device_train_batch_size=24",
    "trainer.num_generations=4",
    "trainer.max_completion_length=32",
    "data.hard.limit=24",
    "data.easy.limit=12",
    "data.general.limit=12",
    "evaluation.before=false",
    "evaluation.every_steps=null",
    *(f"data.{name}.evaluate.limit=4" for name in SETS),
    *(f"data.{name}.evaluate.samples_per_problem=1" for name in SETS),
    *(f"data.{name}.evaluate.max_new_tokens=24" for name in SETS),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    path = tmp_path_factory.mktemp("mixture") / "run"
    train_run(load_config(RECIPE, SHORT), run_path=path, command=["test"])
    return RunDirectory.open(path)


def test_every_set_has_its_evaluation_and_its_place_in_the_manifest(run) -> None:
    evaluations = {(e.step, e.benchmark): e.result for e in run.evaluations()}
    assert set(evaluations) == {(3, name) for name in SETS}
    assert all(result["num_problems"] == 4 for result in evaluations.values())
    assert {result["protocol"]["verifier"] for result in evaluations.values()} == {"exact"}
    mixture = run.manifest["mixture"]
    assert {name: entry["problems"] for name, entry in mixture.items()} == {
        "hard": 24,
        "easy": 12,
        "general": 12,
    }
    assert sum(entry["share"] for entry in mixture.values()) == pytest.approx(1.0)
    assert run.manifest["num_problems"] == 48


def test_only_hard_problems_are_guided(run) -> None:
    groups = list(run.groups())
    assert len(groups) == 3 * 6
    assert {g.dataset for g in groups} <= set(SETS)
    for group in groups:
        # Of the lab, hard and easy problems are chains, and only hard ones have an expert.
        assert group.problem_id.startswith("chain/") == (group.dataset != "general")
        assert (group.expert_solution is not None) == (group.dataset == "hard")
        all_failed = group.failure_fraction == 1.0
        assert group.gate_open == (group.dataset == "hard" and all_failed)
        assert bool(group.candidates) == group.gate_open
    assert any(g.gate_open for g in groups)
    assert any(g.dataset != "hard" for g in groups)


def test_metrics_by_set_can_be_computed_again_and_are_documented(run) -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    groups = list(run.groups())
    for step in run.steps():
        logged = {name: v for name, v in step.metrics.items() if name.startswith("data/")}
        assert logged == dataset_metrics(g for g in groups if g.step == step.step)
        for name in logged:
            _, dataset, what = name.split("/")
            assert dataset in SETS
            assert f"`data/<name>/{what}`" in text


def test_the_report_and_the_ledger_show_the_sets_apart(run) -> None:
    paths = write_report(run.path)
    card = json.loads(paths.card_json.read_text())
    counted = card["groups"]["by_dataset"]
    assert sum(entry["groups"] for entry in counted.values()) == 18
    assert counted["hard"]["gate_open"] == sum(g.gate_open for g in run.groups())
    page = paths.index.read_text()
    assert "by data set" in page
    for name in counted:
        assert f'<th scope="row">{name}</th>' in page
        assert f"data set {name}" in paths.card_markdown.read_text()
