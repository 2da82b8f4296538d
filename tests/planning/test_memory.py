"""Memory: sums by hand, activations against what autograd keeps, and what helps."""

from __future__ import annotations

import dataclasses

import pytest

from planning_fakes import QWEN_7B, TINY, cpu, gpu_setting, setting
from rephrase_rl.planning.memory import USABLE, activation_bytes, device_memory
from rephrase_rl.planning.remedies import _changes, remedies
from rephrase_rl.planning.shape import ModelShape

SIZES = ModelShape("s", 2, 64, 4, 2, 16, 160, 500, tied=True)


def kept_by_autograd(layers: int, tokens: int, bfloat16: bool) -> int:
    """Bytes of distinct storages that a pass keeps, less those of parameters."""
    import contextlib

    import torch

    from rephrase_rl.assembly.plan_measure import random_model
    from rephrase_rl.trainers.trl.probe import prepare, scored_pass

    model = random_model(dataclasses.replace(SIZES, layers=layers))
    prepare(model)
    ids = torch.randint(500, (1, tokens))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept, sizes = [], {}

    def pack(tensor):
        kept.append(tensor)  # alive, so that no address occurs twice
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if bfloat16 else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        scored_pass(model, ids, 10)
    return sum(sizes.values())


@pytest.mark.parametrize("number", ["float32", "bfloat16"])
def test_activations_are_what_autograd_keeps(number) -> None:
    half = number == "bfloat16"
    # Differences leave one layer and 100 tokens, without copies of weights and what is kept once.
    by_layers = [kept_by_autograd(2, n, half) - kept_by_autograd(1, n, half) for n in (200, 100)]
    per_token = (by_layers[0] - by_layers[1]) / 100
    assert activation_bytes(SIZES, 1, number, packed=False) == pytest.approx(per_token, rel=0.1)


def test_sums_by_hand() -> None:
    plan = dataclasses.replace(setting(TINY, mode="none"), device=cpu(process_bytes=1000.0))
    memory = device_memory(plan)
    size = TINY.parameters
    assert memory.held == {"libraries": 1000.0, "weights": 4 * size, "optimiser": 8 * size}
    assert memory.training["gradients"] == 4 * size
    # 8 prompts of 100 and 64 rows of up to 400 tokens, 2 layers x 2 x 4 numbers of float32 each.
    assert memory.sampling["keys and values"] == (800 + 64 * 400) * 2 * 2 * 4 * 4
    assert memory.peak == sum(memory.held.values()) + sum(memory.training.values())
    assert memory.available == 16e9 * USABLE


def test_a_7b_model_in_full_does_not_fit_an_h100_and_says_what_does() -> None:
    plan = gpu_setting()
    memory = device_memory(plan)
    assert memory.held["weights"] == 4 * 7_615_616_512
    assert memory.peak > 16 * 7_615_616_512  # weights, gradients and two moments in float32
    assert not memory.fits
    found = remedies(plan)
    assert any("fsdp" in remedy.change for remedy in found)
    assert any("adapters" in remedy.change for remedy in found)
    assert all(remedy.peak_bytes <= memory.available for remedy in found)
    assert remedies(gpu_setting("mi300x")) == []


def test_sharding_divides_what_is_held() -> None:
    plan = gpu_setting(sharding="fsdp")
    alone, eight = device_memory(plan.on(1)), device_memory(plan.on(8))
    for name in ("weights", "optimiser"):
        assert eight.held[name] == alone.held[name] / 8
    assert eight.training["gradients"] == alone.training["gradients"] / 8
    assert "gathered layers" in eight.training
    assert "gathered layers" not in alone.training


def test_adapters_need_gradients_for_themselves_alone() -> None:
    full, lora = device_memory(gpu_setting()), device_memory(gpu_setting(lora_rank=16))
    assert lora.training["gradients"] < 0.01 * full.training["gradients"]
    assert lora.held["weights"] > full.held["weights"]


def test_adapters_are_held_in_float32_beside_bfloat16_and_in_bfloat16_beside_4_bits() -> None:
    size = QWEN_7B.lora_parameters(16)
    half = device_memory(gpu_setting(lora_rank=16, weights="bfloat16"))
    assert half.held["weights"] == 2 * QWEN_7B.parameters + 4 * size
    assert half.held["optimiser"] == 8 * size
    four = device_memory(gpu_setting(lora_rank=16, weights="bfloat16", four_bits=True))
    quantised = 28 * QWEN_7B.layer_matrix_parameters
    rest = 2 * (QWEN_7B.parameters - quantised)
    assert four.held["weights"] == pytest.approx(quantised * 4.127 / 8 + rest + 2 * size)
    assert four.training["gradients"] == 2 * size
    # QLoRA's figure for 7B models: about 5 GB; the large vocabulary here adds 2.2 GB.
    assert 5e9 < four.held["weights"] < 6e9


def test_a_small_gpu_is_helped_by_4_bits() -> None:
    plan = gpu_setting("rtx-4090", sampler="vllm")
    (remedy,) = [r for r in remedies(plan) if "4 bits" in r.change]
    assert "trainer.use_vllm: false" in remedy.change
    assert not any("4 bits" in change for change, _ in _changes(setting()))  # a CPU has no kernels


@pytest.mark.parametrize("change", [{"checkpointing": True}, {"arithmetic": "bfloat16"}])
def test_what_shrinks_activations(change) -> None:
    plan = setting()
    less = device_memory(plan.with_how(**change)).training["activations"]
    assert less < device_memory(plan).training["activations"]


def test_smaller_micro_batches_need_less() -> None:
    peaks = [device_memory(setting(micro_batch_rows=rows)).peak for rows in (1, 2, 8, 32, 64)]
    assert peaks == sorted(peaks)
    assert peaks[0] < peaks[-1]


def test_vllm_takes_its_share_and_keeps_it_while_training() -> None:
    plan = gpu_setting(sampler="vllm", sharding="fsdp", vllm_memory_share=0.4).on(8)
    memory = device_memory(plan)
    assert memory.held["vLLM's weights and cache"] == 0.4 * 80e9
    assert memory.sampling == {}
    assert memory.fits


def test_vllm_needs_its_weights_and_one_row_whatever_its_share() -> None:
    plan = gpu_setting(sampler="vllm", vllm_memory_share=0.01)
    row = (350 + 400) * plan.shape.kv_bytes_per_token(2)
    held = device_memory(plan).held["vLLM's weights and cache"]
    assert held == 2 * 7_615_616_512 + row
