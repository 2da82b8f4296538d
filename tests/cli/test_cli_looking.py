"""Commands that only look: methods, config, data check, report, compare, doctor."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from rephrase_rl.cli import doctor
from rephrase_rl.config import load_config, parse_guidance
from rephrase_rl.methods import PRESETS, resolve_config

ROOT = Path(__file__).parents[2]
RECIPES = sorted(
    path for path in (ROOT / "recipes").glob("*.yaml") if not path.stem.endswith("_experts")
)


def test_methods_lists_every_preset_and_json_is_complete(cli) -> None:
    out = cli("methods").out
    assert all(name in out for name in PRESETS)
    described = json.loads(cli("methods", "--json").out)
    assert list(described) == list(PRESETS)
    for method in described.values():
        parse_guidance(method["guidance"])
        assert method["deviations"]


def test_one_method_shows_its_blocks_and_differences(cli) -> None:
    out = cli("methods", "repo").out
    assert "gate_failure_fraction: 1.0" in out
    assert "differs from the paper" in out
    outcome = cli("methods", "rpeo")
    assert (outcome.status, "repo" in outcome.err) == (2, True)


def test_config_show_is_resolved_and_valid_input(cli, config_file: Path, tmp_path: Path) -> None:
    shown = cli("config", "show", config_file, "--set", "trainer.learning_rate=3e-5").out
    again = tmp_path / "again.yaml"
    again.write_text(shown, encoding="utf-8")
    expected = resolve_config(load_config(config_file, ["trainer.learning_rate=3e-5"]))
    assert load_config(again) == expected
    assert cli("config", "show", again).out == shown


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_says_how_long_it_is(cli, recipe: Path) -> None:
    checked = cli("config", "check", recipe)
    assert (checked.status, checked.err) == (0, "")
    assert {"max_steps", "num_train_epochs"} & set(load_config(recipe).trainer)


@pytest.mark.contract
def test_config_check_knows_the_trainers_fields(cli, config_file: Path) -> None:
    checked = cli("config", "check", config_file)
    assert (checked.status, "is valid: method repo" in checked.out) == (0, True)
    outcome = cli("config", "check", config_file, "--set", "trainer.lerning_rate=1")
    assert (outcome.status, "learning_rate" in outcome.err) == (2, True)
    outcome = cli("config", "check", config_file, "--set", "guidance.gate.kind=nevr")
    assert (outcome.status, "did you mean never?" in outcome.err) == (2, True)
    for field in ("data.0", "evaluation.benchmarks.0.data"):
        outcome = cli("config", "check", config_file, "--set", f"{field}.mapping=gsm9k")
        assert (outcome.status, "found mapping 'gsm9k'" in outcome.err) == (2, True)


def test_report_prints_where_it_is(cli, reports, tmp_path: Path) -> None:
    outcome = cli("report", tmp_path / "run")
    assert outcome.out.strip() == str(tmp_path / "run" / "report" / "index.html")


def test_compare_prints_markdown_or_json(cli, reports, tmp_path: Path) -> None:
    words = ("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "c")
    assert cli(*words).out == "| a | b |\n"
    assert json.loads(cli(*words, "--json").out) == {"runs": 2}
    assert reports[0] == ("write_comparison", [tmp_path / "a", tmp_path / "b"])


def facts(**changes) -> dict:
    versions = {name: (tested, tested) for name, tested in doctor.TESTED_VERSIONS.items()}
    machine = {"gpus": [], "bfloat16": False, "hub": "allowed"}
    optional = dict.fromkeys(doctor.OPTIONAL_PACKAGES, "1.0")
    return {"versions": versions, "machine": machine, "optional": optional, **changes}


def test_doctor_advises_by_what_it_found() -> None:
    assert doctor.advice(facts())[0].startswith("works: rephrase-rl demo")
    moved = facts()
    moved["versions"]["trl"] = ("1.17.0", "1.16.0")
    assert "pip install 'trl==1.16.0'" in doctor.advice(moved)[0]
    moved["versions"]["torch"] = (None, "2.13.0")
    assert doctor.advice(moved) == ["missing: torch; do this: pip install rephrase-rl"]
    gpu = facts(machine={"gpus": ["H100"], "bfloat16": True, "hub": "offline"})
    text = "\n".join(doctor.advice(gpu))
    assert "on the GPU, bfloat16" in text
    assert "hub is offline" in text
    without = facts(optional={**facts()["optional"], "vllm": None})
    assert "pip install 'rephrase-rl[vllm]'" in doctor.advice(without)[-1]


def test_doctor_sees_the_offline_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert doctor.gather_facts()["machine"]["hub"] == "allowed"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor.gather_facts()["machine"]["hub"] == "offline"


def test_doctor_prints_json(cli) -> None:
    shown = json.loads(cli("doctor", "--json").out)
    assert shown["versions"]["trl"][0] == importlib.metadata.version("trl")


def test_tested_versions_are_those_of_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    assert {name: pinned[name] for name in doctor.TESTED_VERSIONS} == doctor.TESTED_VERSIONS
