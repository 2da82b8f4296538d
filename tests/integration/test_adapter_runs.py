"""Runs that train adapters: what they leave, that they resume, and what may follow them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rephrase_rl.assembly import load_model
from rephrase_rl.assembly.merging import write_whole_policy
from rephrase_rl.config import ModelConfig
from rephrase_rl.errors import ConfigError, EngineError
from rephrase_rl.runs import RunDirectory
from resume_runs import as_killed_after, config, differences, train

pytestmark = pytest.mark.integration

LORA = {"r": 4, "alpha": 8}
FINAL = Path("checkpoints") / "final"
QUESTION = torch.tensor([[5, 6, 7, 8, 9]])


def logits(model: str | Path) -> torch.Tensor:
    policy = load_model(ModelConfig(path=str(model), dtype="float32")).model
    with torch.no_grad():
        found: torch.Tensor = policy(QUESTION).logits
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Two steps for each generation batch, and a KL term."""
    chosen = config(lora=LORA, beta=0.05, num_iterations=2)
    return train(chosen, tmp_path_factory.mktemp("whole") / "run")


def test_the_final_policy_is_an_adapter_that_can_be_loaded(whole) -> None:
    names = {path.name for path in (whole / FINAL).iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= names
    assert "model.safetensors" not in names
    learned = load_file(whole / FINAL / "adapter_model.safetensors")
    assert any(value.abs().max() > 0 for name, value in learned.items() if "lora_B" in name)
    assert not torch.allclose(logits(whole / FINAL), logits("lab:base"), atol=1e-3)


def test_the_manifest_says_what_was_trained(whole) -> None:
    entry = RunDirectory.open(whole).manifest["adapter"]
    learned = load_file(whole / FINAL / "adapter_model.safetensors")
    assert entry["trained_parameters"] == sum(value.numel() for value in learned.values())
    assert entry["trained_parameters"] < entry["parameters"] / 10
    assert (entry["r"], entry["alpha"], entry["load_in_4bit"]) == (4, 8, False)


def test_a_run_resumed_within_a_generation_batch_is_the_same_run(whole, tmp_path) -> None:
    resumed = as_killed_after(whole, 3, tmp_path / "run")
    train(config(lora=LORA, beta=0.05, num_iterations=2), resumed, resume=True)
    assert differences(whole, resumed) == []
    assert (whole / FINAL / "adapter_model.safetensors").is_file()


def test_reinforcement_goes_on_with_the_adapter_of_supervised_training(tmp_path) -> None:
    taught = train(config("sft", lora=LORA, max_steps=2), tmp_path / "sft")
    assert RunDirectory.open(taught).manifest["adapter"]["r"] == 4
    # A rate of 0 leaves what the run started from; the KL term is one to that and not to the base.
    chosen = config(lora=LORA, max_steps=1, learning_rate=0.0, beta=0.1)
    after = train(chosen.model_copy(update={"init_from": str(taught)}), tmp_path / "rl")
    one, other = (load_file(r / FINAL / "adapter_model.safetensors") for r in (taught, after))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.allclose(logits(after / FINAL), logits("lab:base"), atol=1e-3)
    (step,) = RunDirectory.open(after).steps()
    assert step.metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    bases = {json.loads((r / FINAL / "adapter_config.json").read_text())["base_model_name_or_path"]
             for r in (taught, after)}  # fmt: skip
    assert len(bases) == 1


@pytest.mark.slow
def test_a_run_with_two_adapters_resumes_to_the_same_run(tmp_path) -> None:
    """The adapter that is trained, and the copy of its beginning that the KL term compares to."""
    taught = train(config("sft", lora=LORA, max_steps=1), tmp_path / "sft")
    chosen = config(lora=LORA, max_steps=3, beta=0.1).model_copy(update={"init_from": str(taught)})
    one = train(chosen, tmp_path / "rl")
    resumed = as_killed_after(one, 1, tmp_path / "part")
    train(chosen, resumed, resume=True)
    assert differences(one, resumed) == []


def test_adapters_beside_bfloat16_weights_are_float32(tmp_path) -> None:
    chosen = config(lora=LORA, max_steps=2)
    model = chosen.model.model_copy(update={"dtype": "bfloat16"})
    made = train(chosen.model_copy(update={"model": model}), tmp_path / "run")
    learned = load_file(made / FINAL / "adapter_model.safetensors")
    assert {value.dtype for value in learned.values()} == {torch.float32}
    assert any(value.abs().max() > 0 for name, value in learned.items() if "lora_B" in name)
    assert RunDirectory.open(made).manifest["policy"]["dtype"] == "bfloat16"


def test_another_rank_is_refused_before_a_run_directory_is_made(whole, tmp_path) -> None:
    chosen = config(lora={"r": 8}).model_copy(update={"init_from": str(whole)})
    with pytest.raises(ConfigError, match="the adapter has 4"):
        train(chosen, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_without_lora_a_run_trains_all_weights_of_the_merged_policy(whole, tmp_path) -> None:
    chosen = config(max_steps=1, learning_rate=0.0).model_copy(update={"init_from": str(whole)})
    after = train(chosen, tmp_path / "a")
    assert (after / FINAL / "model.safetensors").is_file()
    assert torch.allclose(logits(after / FINAL), logits(whole / FINAL), atol=1e-5)


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-5), ("bfloat16", 0.5)])
def test_a_merged_policy_is_the_same_function_in_a_folder_of_its_own(
    whole, tmp_path, dtype, atol
) -> None:
    out = tmp_path / dtype
    base = write_whole_policy(str(whole), out, dtype=dtype)
    assert base is not None
    assert not (out / "adapter_config.json").exists()
    assert {value.dtype for value in load_file(out / "model.safetensors").values()} == {
        getattr(torch, dtype)
    }
    assert torch.allclose(logits(out), logits(whole / FINAL), atol=atol)
    with pytest.raises(ConfigError, match="not empty"):
        write_whole_policy(str(whole), out)


def test_a_policy_that_is_whole_is_written_as_it_is(tmp_path) -> None:
    assert write_whole_policy("lab:base", tmp_path / "out") is None
    assert torch.equal(logits(tmp_path / "out"), logits("lab:base"))


def test_four_bits_without_a_gpu_leave_nothing_behind(tmp_path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    chosen = config(lora=LORA)
    model = chosen.model.model_copy(update={"load_in_4bit": True})
    with pytest.raises(EngineError, match="NVIDIA GPU"):
        train(chosen.model_copy(update={"model": model}), tmp_path / "a")
    assert not (tmp_path / "a").exists()
