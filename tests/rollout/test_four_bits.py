"""Weights in 4 bits: asked for where they can be had, and told apart where they cannot."""

from __future__ import annotations

import pytest
import torch

from rephrase_rl.errors import EngineError
from rephrase_rl.rollout import four_bits, load_policy


def test_without_a_gpu_it_is_told_before_anything_is_loaded(tmp_path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(EngineError, match=r"finds no NVIDIA GPU.*set model\.load_in_4bit to false"):
        load_policy(tmp_path / "there is none", four_bits=True)


def test_without_bitsandbytes_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(four_bits, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"'\.\[qlora\]'"):
        four_bits.four_bit_loading()


def test_weights_are_loaded_as_qlora_has_them(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(four_bits, "find_spec", lambda name: object())
    asked = four_bits.four_bit_loading()
    config = asked["quantization_config"]
    assert config.load_in_4bit
    assert config.bnb_4bit_quant_type == "nf4"
    assert config.bnb_4bit_use_double_quant
    assert config.bnb_4bit_compute_dtype == torch.bfloat16
    assert asked["device_map"] == {"": 0}


def test_what_is_asked_for_reaches_transformers(monkeypatch, tmp_path) -> None:
    from rephrase_rl.rollout import policy

    class Asked(Exception):
        pass

    def from_pretrained(path, **arguments):
        raise Asked(arguments)

    monkeypatch.setattr(policy, "four_bit_loading", lambda: {"quantization_config": "four"})
    monkeypatch.setattr(policy.AutoTokenizer, "from_pretrained", lambda *a, **k: None)
    monkeypatch.setattr(policy.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    with pytest.raises(EngineError) as caught:
        load_policy(tmp_path, dtype="bfloat16", four_bits=True)
    (asked,) = caught.value.__cause__.args
    assert asked["quantization_config"] == "four"
    assert asked["dtype"] == torch.bfloat16
