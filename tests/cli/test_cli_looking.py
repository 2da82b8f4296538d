"""Commands that only look: methods, config, data check, report, compare, doctor."""

from __future__ import annotations

import importlib.metadata
import json
import socket
from pathlib import Path

import pytest

from rephrase_rl.cli import doctor, doctor_facts
from rephrase_rl.cli.doctor_facts import OPTIONAL_PACKAGES, TESTED_VERSIONS
from rephrase_rl.config import load_config, parse_guidance
from rephrase_rl.methods import PRESETS, resolve_config
from rephrase_rl.reports import comparison_files
from reports.arm_runs import arm_run

ROOT = Path(__file__).parents[2]
RECIPES = sorted(
    path for path in (ROOT / "recipes").glob("*.yaml") if not path.stem.endswith("_experts")
)


def test_methods_lists_every_preset_and_json_is_complete(cli) -> None:
    out = cli("methods").out
    assert all(name in out and preset.summary in out for name, preset in PRESETS.items())
    assert len(out.splitlines()) == 2 * len(PRESETS) + 1  # differences are in each one's own
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


def test_config_check_knows_the_verifiers(cli, config_file: Path) -> None:
    outcome = cli("config", "check", config_file, "--set", "rewards=[{verifier: numbr}]")
    assert (outcome.status, "do this: take 'number'" in outcome.err) == (2, True)
    in_a_set = ["--set", "data.0.rewards=[{verifier: nothing_like_it}]"]
    outcome = cli("config", "check", config_file, *in_a_set)
    assert (outcome.status, "do this: correct the name" in outcome.err) == (2, True)
    own = ["--set", "rewards=[{verifier: 'mine.py:Judge'}]"]  # not imported by a check
    assert cli("config", "check", config_file, *own).status == 0


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


@pytest.fixture
def arm_paths(tmp_path: Path, monkeypatch) -> list[Path]:
    """Two runs each of two methods; no figure is drawn."""
    monkeypatch.setattr(comparison_files, "draw_curves", lambda *_: "")
    monkeypatch.setattr(comparison_files, "draw_panels", lambda *_: [])
    monkeypatch.setattr(comparison_files, "draw_trilemma", lambda *_: "")
    made = [
        arm_run(tmp_path / f"{method}-{seed}", method, seed, hard=[float(method == "repo"), 0.5])
        for method in ("grpo", "repo")
        for seed in (1, 2)
    ]
    return [run.path for run in made]


def test_compare_prints_tables(cli, arm_paths, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "c", "--threshold", "0.6", "--hard", "hard")
    outcome = cli("compare", *arm_paths, *options)
    assert outcome.status == 0
    words = " ".join(outcome.out.split())
    for part in ("against grpo", "+0.500", "p, Holm", "time to 0.6 on hard", "2 of 2", "budgets"):
        assert part in words, part
    assert "+75.0, +75.0" in words
    assert str(tmp_path / "c" / "index.html") in outcome.err


def test_compare_prints_json(cli, arm_paths, tmp_path: Path) -> None:
    words = ("compare", *arm_paths, "--out", tmp_path / "c", "--baseline", "repo", "--json")
    data = json.loads(cli(*words).out)
    assert data == json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert data["baseline"] == "repo"
    outcome = cli(*words[:-2], "nonsense")
    assert (outcome.status, "one of 'grpo', 'repo'" in outcome.err) == (2, True)


def facts(**changes) -> dict:
    versions = {name: (tested, tested, "") for name, tested in TESTED_VERSIONS.items()}
    machine = {
        "gpus": [],
        "memory_bytes": 8 * 1024**3,
        "cpu_flags": ["avx2"],
        "disk_free_bytes": 10**12,
    }
    machine |= changes.pop("machine", {})
    hub = {"state": "reachable", "logged_in": True, "cache": "/cache"} | changes.pop("hub", {})
    optional = dict.fromkeys(OPTIONAL_PACKAGES, "1.0")
    return {"versions": versions, "machine": machine, "hub": hub, "optional": optional, **changes}


def gpu(memory_gib: int, bfloat16: bool = True) -> dict:
    return {"name": "H100", "memory_bytes": memory_gib * 1024**3, "bfloat16": bfloat16}


def test_doctor_advises_by_the_versions() -> None:
    assert doctor.advice(facts())[0].startswith("works: rephrase-rl demo")
    moved = facts()
    moved["versions"]["trl"] = ("1.17.0", "1.16.0", ">=1.16,<1.17")
    assert "pip install 'trl==1.16.0'" in doctor.advice(moved)[0]
    moved["versions"]["torch"] = (None, "2.13.0", "")
    assert doctor.advice(moved) == [
        "missing: torch; do this: pip install -c constraints.txt . (in the clone)"
    ]


def test_doctor_says_what_the_memory_holds() -> None:
    on_cpu = "\n".join(doctor.advice(facts()))
    assert "up to about 322M parameters on this CPU" in on_cpu
    assert "no bfloat16 instructions" in on_cpu
    on_gpus = "\n".join(doctor.advice(facts(machine={"gpus": [gpu(80), gpu(24)]})))
    assert "up to about 966M parameters on one GPU, bfloat16" in on_gpus  # of the smaller one
    assert "accelerate launch --num_processes 2" in on_gpus
    old = doctor.advice(facts(machine={"gpus": [gpu(80, bfloat16=False)]}))
    assert any("float32 only" in line for line in old)


def test_doctor_says_what_the_hub_and_the_disk_allow() -> None:
    assert "hub is offline" in "\n".join(doctor.advice(facts(hub={"state": "offline"})))
    lost = facts(hub={"state": "unreachable", "why": "no route"})
    assert "cannot be reached (no route)" in "\n".join(doctor.advice(lost))
    assert "hf auth login" in "\n".join(doctor.advice(facts(hub={"logged_in": False})))
    assert "little disk" in "\n".join(doctor.advice(facts(machine={"disk_free_bytes": 10**9})))


def test_doctor_names_the_extra_of_what_is_missing() -> None:
    without = dict.fromkeys(OPTIONAL_PACKAGES)
    on_cpu = "\n".join(doctor.advice(facts(optional=without)))
    assert "pip install '.[judge]'" in on_cpu
    assert "vllm" not in on_cpu
    assert "qlora" not in on_cpu
    on_gpu = "\n".join(doctor.advice(facts(optional=without, machine={"gpus": [gpu(80)]})))
    assert "pip install -c constraints-vllm.txt '.[vllm]'" in on_gpu
    assert "pip install '.[qlora]'" in on_gpu


def test_doctor_sees_the_offline_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor_facts.hub_access()["state"] == "offline"


def test_doctor_knocks_at_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        assert doctor_facts.hub_access()["state"] == "reachable"
    closed = doctor_facts.hub_access()
    assert (closed["state"], "127.0.0.1" in closed["why"]) == ("unreachable", True)


def test_doctor_knows_the_declared_ranges() -> None:
    assert doctor_facts.required_versions()["trl"] == "<1.17,>=1.16"
    assert not doctor_facts.in_range("1.17.0", "<1.17,>=1.16")


def test_doctor_prints_json(cli) -> None:
    shown = json.loads(cli("doctor", "--json").out)
    assert shown["versions"]["trl"][0] == importlib.metadata.version("trl")


def test_tested_versions_are_those_of_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    assert {name: pinned[name] for name in TESTED_VERSIONS} == TESTED_VERSIONS
