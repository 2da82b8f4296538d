"""The model card: metadata that huggingface_hub reads back, the run's figures, nothing invented."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard
from synthetic_run import MANIFEST, make_run, result

from rephrase_rl.reports import report, write_report
from rephrase_rl.reports.curves import draw_run
from rephrase_rl.runs import RunDirectory

HUB = {
    "policy": {"path": "Qwen/Qwen3-4B", "kind": "hub", "commit": "abc"},
    "datasets": {
        "train/math": {"path": "open-r1/OpenR1-Math-220k", "kind": "hub", "revision": "main"},
        "train/own": {"path": "/home/me/data.jsonl", "kind": "local", "revision": None},
        "evaluation/hard": {"path": "HuggingFaceH4/aime_2024", "kind": "hub", "split": "train"},
    },
}


@pytest.fixture
def no_figure(monkeypatch):
    figure = draw_run([], [])
    monkeypatch.setattr(report, "draw_run", lambda *_: figure)


def made(tmp_path, **changes) -> tuple[ModelCard, RunDirectory]:
    run = make_run(tmp_path / "my-run")
    run.update_manifest(changes)
    return ModelCard.load(write_report(run.path).model_card), run


@pytest.mark.usefixtures("no_figure")
def test_the_hub_reads_base_model_data_and_every_result(tmp_path):
    card, _ = made(tmp_path, **HUB)
    data = card.data
    assert (data.base_model, data.library_name) == ("Qwen/Qwen3-4B", "transformers")
    assert data.datasets == ["open-r1/OpenR1-Math-220k"]
    assert (data.pipeline_tag, data.tags) == ("text-generation", ["rephrase-rl", "repo"])
    results = {(r.dataset_name, r.metric_type): r for r in data.eval_results}
    hard = results["hard", "avg@4"]
    # The last evaluation of the run, not the one before training.
    assert (hard.metric_value, hard.dataset_type) == (0.875, "HuggingFaceH4/aime_2024")
    assert hard.dataset_split == "train"
    assert results["easy", "avg@4"].dataset_type == "easy"
    assert {metric for _, metric in results} == {"avg@4", "pass@1", "pass@4"}
    assert data.model_name == "my-run"


@pytest.mark.usefixtures("no_figure")
def test_what_is_not_on_the_hub_is_not_named_as_if_it_were(tmp_path):
    local = {"path": "models/Qwen3-4B", "kind": "local", "commit": None}
    card, _ = made(tmp_path, policy=local, datasets=HUB["datasets"] | {"train/math": None})
    assert card.data.base_model is None
    assert card.data.datasets is None
    assert card.data.license is None
    assert "/home/me" not in str(card.data.to_yaml())


@pytest.mark.usefixtures("no_figure")
def test_an_adapter_is_called_one(tmp_path):
    run = make_run(tmp_path / "run")
    final = run.path / "checkpoints" / "final"
    final.mkdir(parents=True)
    (final / "adapter_config.json").write_text("{}")
    card = ModelCard.load(write_report(run.path).model_card)
    assert card.data.library_name == "peft"
    assert "AutoPeftModelForCausalLM" in card.text
    assert "| adapter |" not in card.text


@pytest.mark.usefixtures("no_figure")
def test_cards_say_what_an_adapter_is_and_how_much_was_trained(tmp_path):
    entry = {"kind": "lora", "r": 8, "target_modules": ["<b>x</b>|"], "trained_parameters": 1234}
    card, run = made(tmp_path, adapter=entry)
    (line,) = [line for line in card.text.splitlines() if line.startswith("| adapter |")]
    assert line.replace("\\", "").endswith("trained_parameters: 1234 |")
    assert "<b>" not in line
    assert line.replace("\\|", "").count("|") == 3
    assert "| adapter |" in (run.path / "report" / "card.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figure")
def test_limits_and_deviations_are_in_the_text(tmp_path):
    card, _ = made(tmp_path, git={"commit": None, "dirty": None, "reason": "no checkout"})
    for sentence in MANIFEST["deviations"]:
        assert sentence in card.text
    assert "The commit is not known (no checkout)." in card.text
    assert "2 samples of hard could not be scored." in card.text
    assert "other seeds give other figures" in card.text


@pytest.mark.usefixtures("no_figure")
def test_hostile_names_stay_data(tmp_path):
    run = make_run(tmp_path / "run")
    run.update_manifest(
        {
            "method": "x\n---\nlicense: mit",
            "policy": {"path": "a/b)](javascript:alert(1))", "kind": "hub"},
            "datasets": {"train/a": {"path": ["x"], "kind": "hub"}, "evaluation/hard": "text"},
        }
    )
    run.write_evaluation(4, "hard", result("hard", None), [])
    card = ModelCard.load(write_report(run.path).model_card)
    assert (card.data.license, card.data.base_model) == (None, None)
    assert card.data.tags == ["rephrase-rl"]
    assert "hard" not in {r.dataset_name for r in card.data.eval_results}
