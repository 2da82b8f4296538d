"""Sizes: parameters against published models and against transformers, the rest by hand."""

from __future__ import annotations

import pytest

from planning_fakes import QWEN_7B, SMOLLM2, TINY
from rephrase_rl.errors import ConfigError
from rephrase_rl.planning import shape_from_config
from rephrase_rl.planning.shape import FAMILIES


def test_parameters_of_published_models() -> None:
    # Numbers of the model cards, as transformers counts them. SmolLM2: embedding 49152 * 576 =
    # 28,311,552, 30 layers of 576 * 576 * 2 + 576 * 192 * 2 + 3 * 576 * 1536 + 2 * 576 = 3,540,096,
    # one norm of 576.
    assert SMOLLM2.parameters == 134_515_008
    assert QWEN_7B.parameters == 7_615_616_512


def test_counts_of_a_tiny_model_by_hand() -> None:
    # Attention 8 * 8 + 2 * 8 * 4 + 8 * 8 = 192, MLP 3 * 8 * 16 = 384, norms 16; embedding 80.
    assert TINY.layer_matrix_parameters == 576
    assert TINY.layer_parameters == 592
    assert TINY.parameters == 80 + 2 * 592 + 8
    # 2 * (2 * 576 + 80) for the products, 4 * 2 layers * width 8 * 5 tokens for attention.
    assert TINY.forward_flops(5) == 2464 + 320
    # Keys and values, 2 layers, 4 numbers, 2 bytes.
    assert TINY.kv_bytes_per_token(2) == 32
    # (8+8) + 2 (8+4) + (8+8) + 3 (8+16) = 128 a layer and rank.
    assert TINY.lora_parameters(3) == 2 * 3 * 128
    assert TINY.lora_parameters(3, ["q_proj", "v_proj"]) == 2 * 3 * ((8 + 8) + (8 + 4))
    assert TINY.lora_parameters(3, ["gate_up_proj"]) == 2 * 3 * (8 + 32)


def test_adapters_of_a_real_model_have_as_many_parameters() -> None:
    from peft import LoraConfig, get_peft_model

    from fakes import tiny_model

    model = tiny_model()
    shape = shape_from_config(model.config.to_dict(), "tiny")
    for targets, layers in (("all-linear", ()), (["q_proj", "down_proj"], ["q_proj", "down_proj"])):
        made = get_peft_model(tiny_model(), LoraConfig(r=3, target_modules=targets))
        assert shape.lora_parameters(3, layers) == made.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_is_counted_as_transformers_counts_it(kind: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 96,
        "intermediate_size": 224,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "vocab_size": 1009,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    config = AutoConfig.for_model(kind, **sizes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert shape_from_config(config.to_dict(), kind).parameters == model.num_parameters()


def test_missing_fields_take_the_defaults_of_old_configurations() -> None:
    config = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 10,
    }
    shape = shape_from_config(config, "old")
    assert (shape.kv_heads, shape.head_dim, shape.tied) == (2, 4, False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "qwen3_moe", "num_experts": 128}, ("experts", "qwen3_moe")),
        ({"model_type": "t5", "is_encoder_decoder": True}, ("encoder-decoder", "'t5'")),
        ({"hidden_size": None, "vocab_size": None}, ("hidden_size", "vocab_size")),
    ],
)
def test_what_cannot_be_planned_is_refused_with_all_reasons(changes, words) -> None:
    config = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 10,
    } | changes
    with pytest.raises(ConfigError) as raised:
        shape_from_config(config, "a model")
    assert all(any(word in fault for fault in raised.value.faults) for word in words)
    assert "plan.shape" in str(raised.value)
