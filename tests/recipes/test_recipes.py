"""The recipes for GPUs: valid, the paper's numbers, sources named, alike but for the method."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rephrase_rl.config import config_to_plain, load_config
from rephrase_rl.methods import PRESETS, resolve_config, resolve_guidance

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes"
GPU_RECIPES = sorted(
    path.stem for path in FOLDER.glob("*.yaml") if re.search(r"_(4b|7b|8b)_", path.stem)
)
MARKS = ("[paper]", "[LUFFY]", "[verl]", "[Qwen]", "[ours]")
MACHINE = {  # how fast it goes, not what is learned
    "per_device_train_batch_size", "bf16", "gradient_checkpointing", "use_vllm", "vllm_mode",
    "vllm_gpu_memory_utilization", "vllm_max_model_length", "save_strategy", "save_steps",
    "save_total_limit",
}  # fmt: skip
OWN_OF_THE_METHOD = {
    "trainer.loss_type", "trainer.epsilon", "trainer.entropy_coef",
    "trainer.vllm_max_model_length",
}  # fmt: skip


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by their paths."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}{key}.").items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{path}{i}.").items()}
    return {path.removesuffix("."): value}


def test_every_promised_recipe_is_there() -> None:
    assert GPU_RECIPES == [
        "finance_mixture_qwen3_8b_luffy",
        "finance_mixture_qwen3_8b_repo",
        "openr1_hard_qwen2.5_math_7b_grpo",
        "openr1_hard_qwen2.5_math_7b_luffy",
        "openr1_hard_qwen2.5_math_7b_repo",
        "supergpqa_qwen3_4b_luffy",
        "supergpqa_qwen3_4b_repo",
        "supergpqa_qwen3_8b_luffy",
        "supergpqa_qwen3_8b_repo",
    ]


@pytest.mark.parametrize("name", GPU_RECIPES)
def test_values_of_the_paper_are_said_and_kept(name) -> None:
    raw = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert raw["method"] == name.rpartition("_")[2]
    trainer = raw["trainer"]
    assert trainer["num_generations"] == 8
    assert trainer["learning_rate"] == 1e-6
    assert trainer["beta"] == 0.0
    rows = trainer["per_device_train_batch_size"] * trainer["gradient_accumulation_steps"]
    assert rows * raw["plan"]["devices"] == 512 * 8
    if "supergpqa" in name:
        assert trainer["num_train_epochs"] == 1


@pytest.mark.parametrize("name", GPU_RECIPES)
def test_every_choice_of_method_and_optimiser_names_its_source(name) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    sections = re.findall(r"^(?:guidance|trainer):\n((?:  .*\n)+)", text, re.MULTILINE)
    assert len(sections) == (2 if name.endswith("_repo") else 1)
    preset = re.search(r"^ *# .*(?:blocks are|not here is) the preset's(?:.*\n)+?.*\[", text, re.M)
    assert preset, "where the blocks come from"
    unmarked = [
        line
        for line in "".join(sections).splitlines()
        if not line.endswith(":")
        and not any(mark in line for mark in MARKS)
        and line.split(":")[0].strip() not in MACHINE | {"kind"}
    ]
    assert unmarked == []


@pytest.mark.parametrize("name", GPU_RECIPES)
@pytest.mark.filterwarnings("ignore:--set method=.*(left out|learning_rate)")
def test_the_method_alone_makes_another_method_of_a_recipe(name) -> None:
    for method in PRESETS:
        changed = resolve_config(load_config(FOLDER / f"{name}.yaml", [f"method={method}"]))
        guidance, own = flat(changed.guidance), resolve_guidance(method, {})
        different = {
            path
            for path, value in flat(config_to_plain(own)).items()
            if guidance.get(path) != value
        }
        assert different <= {"source.max_prompt_tokens"}
        preset = PRESETS[method].trainer
        stands = {field for field in preset if changed.trainer[field] != preset[field]}
        assert stands <= {"learning_rate"}  # the paper's, which a recipe says; a warning tells


@pytest.mark.parametrize("name", [n for n in GPU_RECIPES if not n.endswith("_repo")])
def test_a_recipe_differs_from_the_one_beside_it_in_its_method_alone(name) -> None:
    one, repo = (
        flat(config_to_plain(resolve_config(load_config(FOLDER / f"{stem}.yaml", []))))
        for stem in (name, name.rpartition("_")[0] + "_repo")
    )
    different = {path for path in one.keys() | repo.keys() if one.get(path) != repo.get(path)}
    method = {p for p in different if p == "method" or p.startswith(("guidance.", "plan."))}
    experts = {p for p in different if re.fullmatch(r"data\.\d\.(over_)?expert_\w+", p)}
    assert different - method - experts <= OWN_OF_THE_METHOD


def test_the_launcher_reads_the_accelerate_file() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    found = load_config_from_file(str(FOLDER / "accelerate" / "fsdp_8_gpus.yaml"))
    assert found.num_processes == 8
    assert found.distributed_type.value == "FSDP"
    assert found.fsdp_config["fsdp_version"] == 2
