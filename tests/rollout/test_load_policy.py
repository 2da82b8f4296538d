"""Policies from a local folder and from a GGUF file that is written here."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
import torch
from packaging.version import Version
from transformers import AutoTokenizer

from fakes import CHAT_TEMPLATE, ByteTokenizer, tiny_model
from rephrase_rl.errors import EngineError
from rephrase_rl.rollout import (
    SamplingSettings,
    TransformersEngine,
    load_policy,
    load_tokenizer,
)

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = ({"role": "user", "content": "1+1"},)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path)
    ByteTokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_a_local_folder_gives_back_weights_and_tokenizer(folder: Path) -> None:
    policy = load_policy(folder)
    for name, value in tiny_model().state_dict().items():
        assert torch.equal(policy.model.state_dict()[name], value)
    assert not policy.model.training
    found = TransformersEngine(policy.model, policy.tokenizer).render(PROMPT)
    assert found == TransformersEngine(tiny_model(), ByteTokenizer()).render(PROMPT)


def test_a_long_prompt_that_is_only_counted_is_not_said_to_end_in_errors(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    long = "x" * 2000
    for tokenizer in (load_policy(folder).tokenizer, load_tokenizer(folder)):
        tokenizer.model_max_length = 10
        assert len(tokenizer(long)["input_ids"]) == 2000
    assert caplog.text == ""
    untouched = AutoTokenizer.from_pretrained(folder)
    untouched.model_max_length = 10
    untouched(long)
    assert "indexing errors" in caplog.text  # or this test would prove nothing


def test_dtype_is_as_asked_and_as_stored_otherwise(folder: Path) -> None:
    assert load_policy(folder).model.dtype == torch.float32
    assert load_policy(folder, dtype="bfloat16").model.dtype == torch.bfloat16
    for bad in ("int8", "no_such_type", "nn"):
        with pytest.raises(EngineError, match=f"dtype is '{bad}'"):
            load_policy(folder, dtype=bad)


def test_a_missing_padding_token_becomes_the_end_token(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    tokenizer = ByteTokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    assert load_policy(tmp_path).tokenizer.pad_token == "<eos>"  # noqa: S105  (no key)


def test_neither_padding_nor_end_token_is_refused(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    tokenizer = ByteTokenizer()
    tokenizer.pad_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="neither a padding nor an end-of-sequence token"):
        load_policy(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(folder: Path, value: float) -> None:
    model = tiny_model()
    model.model.layers[1].mlp.up_proj.weight.data[3, 2] = value
    model.save_pretrained(folder)
    with pytest.raises(EngineError, match=r"1 weights of .*layers\.1\.mlp\.up_proj\.weight"):
        load_policy(folder)


def test_a_cut_off_weights_file_is_told(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(EngineError, match="cannot load a policy from"):
        load_policy(folder)


def test_what_is_not_there_is_named_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineError, match=r"required in that folder: config\.json"):
        load_policy(tmp_path)
    with pytest.raises(EngineError, match="no such local folder"):
        load_policy(tmp_path / "nowhere")


def write_gguf(path: Path, model: Any) -> None:
    """Write a tiny Llama as float32 GGUF, as llama.cpp's converter lays it out."""
    gguf = pytest.importorskip("gguf")
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokenizer = ByteTokenizer()
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(config.vocab_size)))
    writer.add_token_types([1] * 256 + [3] * (config.vocab_size - 256))
    # Without merges, which an empty list cannot say here, the reader derives them from scores.
    writer.add_token_scores([0.0] * config.vocab_size)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(CHAT_TEMPLATE)
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "model.layers": "blk",
    }
    for name, value in model.state_dict().items():
        tensor = value
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            # llama.cpp interleaves the two halves of each head's rotary dimensions.
            heads = config.num_attention_heads
            halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, tensor.shape[1])
            tensor = halves.swapaxes(1, 2).reshape(tensor.shape)
        gguf_name = name
        for ours, theirs in names.items():
            gguf_name = gguf_name.replace(ours, theirs)
        writer.add_tensor(gguf_name, tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


needs_fixed_gguf = pytest.mark.skipif(
    Version(metadata.version("transformers")) < Version("5.18"),
    reason="transformers before 5.18 fails on GGUF tokenizers without a first token; the extra "
    "gguf asks for a later one",
)


@needs_fixed_gguf
def test_a_gguf_file_becomes_a_model_that_trains_and_saves(tmp_path: Path) -> None:
    original = tiny_model()
    write_gguf(tmp_path / "tiny.gguf", original)
    before = torch.random.get_rng_state()
    policy = load_policy(tmp_path / "tiny.gguf")
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, value in original.state_dict().items():
        assert torch.equal(policy.model.state_dict()[name], value), name

    assert not hasattr(policy.model.config, "quantization_config")
    engine = TransformersEngine(policy.model, policy.tokenizer)
    settings = SamplingSettings(temperature=0, max_new_tokens=8)
    expected = TransformersEngine(original, ByteTokenizer()).sample([PROMPT], settings)
    assert engine.sample([PROMPT], settings)[0][0].token_ids == expected[0][0].token_ids

    ids = torch.tensor([engine.render(PROMPT)])
    policy.model(ids, labels=ids).loss.backward()
    policy.model.save_pretrained(tmp_path / "saved")
    policy.tokenizer.save_pretrained(tmp_path / "saved")
    again = load_policy(tmp_path / "saved")
    assert torch.equal(again.model.lm_head.weight, policy.model.lm_head.weight)


@needs_fixed_gguf
def test_a_gguf_file_can_be_named_beside_its_folder(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", tiny_model())
    policy = load_policy(tmp_path, gguf_file="tiny.gguf", dtype="bfloat16")
    assert policy.model.dtype == torch.bfloat16


def test_a_missing_gguf_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    with pytest.raises(EngineError, match=r"absent\.gguf"):
        load_policy(tmp_path / "absent.gguf")
