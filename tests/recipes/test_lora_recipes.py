"""Recipes with adapters: the paper's setting where they say so, GPUs that hold them; one runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from test_recipes import MACHINE, MARKS, flat

from rephrase_rl.assembly import train_run
from rephrase_rl.assembly.adapters import refuse_unfit_adapters
from rephrase_rl.assembly.plan_inputs import plan_run
from rephrase_rl.config import config_to_plain, load_config
from rephrase_rl.methods import resolve_config
from rephrase_rl.runs import RunDirectory

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "lora"
FULL = ROOT / "recipes" / "openr1_hard_qwen2.5_math_7b_repo.yaml"
DEMO = ROOT / "src" / "rephrase_rl" / "cli" / "demo.yaml"
ON_GPUS = {name: FOLDER / f"openr1_hard_qwen2.5_math_7b_{name}.yaml" for name in ("lora", "qlora")}


def changed(one: Path, other: Path) -> dict[str, object]:
    """Fields of the first recipe that the second has otherwise, with their values."""
    here, there = (flat(config_to_plain(resolve_config(load_config(p)))) for p in (one, other))
    return {path: here.get(path) for path in here.keys() | there.keys()
            if here.get(path) != there.get(path)}  # fmt: skip


def test_every_recipe_is_known_to_these_tests() -> None:
    found = sorted(path.name for path in FOLDER.iterdir())
    assert found == sorted([*(path.name for path in ON_GPUS.values()), "lab.yaml"])


@pytest.mark.parametrize("name", ON_GPUS)
def test_they_are_said_not_to_have_been_run_and_name_their_sources(name) -> None:
    text = ON_GPUS[name].read_text(encoding="utf-8")
    assert "Configured, not run." in text.partition("method:")[0]
    section = text.partition("\ntrainer:\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("  ")]
    assert len(lines) > 15
    for line in lines:
        marked = any(mark in line for mark in MARKS)
        assert marked or line.split(":")[0].strip() in MACHINE, line


def test_lora_is_the_papers_step_but_for_what_is_trained() -> None:
    different = changed(ON_GPUS["lora"], FULL)
    assert {path for path in different if not path.startswith(("model.lora", "plan."))} == {
        "model.dtype",
        "trainer.learning_rate",
        "trainer.weight_decay",
        "trainer.gradient_accumulation_steps",
        "trainer.save_total_limit",  # adapters can be evaluated during the run
    }
    raw = yaml.safe_load(ON_GPUS["lora"].read_text())
    trainer = raw["trainer"]
    rows = trainer["per_device_train_batch_size"] * trainer["gradient_accumulation_steps"]
    assert rows * raw["plan"]["devices"] == 512 * 8


@pytest.mark.parametrize("name", ON_GPUS)
def test_the_planned_gpus_hold_them(name) -> None:
    config = load_config(ON_GPUS[name])
    refuse_unfit_adapters(resolve_config(config))
    plan = plan_run(config, (config.plan.devices,))
    assert plan.memory.fits
    assert plan.setting.how.four_bits == (name == "qlora")
    assert plan.setting.trained_parameters < 0.02 * plan.setting.shape.parameters


def test_the_labs_recipe_is_the_demo_with_adapters() -> None:
    different = changed(FOLDER / "lab.yaml", DEMO)
    own = {path for path in different if not path.startswith("model.lora")}
    assert own <= {"trainer.learning_rate", "evaluation.every_steps"}
    assert different["model.lora.r"] == 16


def test_the_labs_recipe_runs(tmp_path) -> None:
    short = ["trainer.max_steps=2", "trainer.per_device_train_batch_size=16",
             "evaluation.before=false",
             *(f"evaluation.benchmarks.{n}.data.limit=2" for n in range(3))]  # fmt: skip
    train_run(load_config(FOLDER / "lab.yaml", short), run_path=tmp_path / "run", command=["test"])
    run = RunDirectory.open(tmp_path / "run")
    assert len(run.steps()) == 2
    assert run.manifest["adapter"]["r"] == 16
    assert (run.path / "checkpoints" / "final" / "adapter_model.safetensors").is_file()
