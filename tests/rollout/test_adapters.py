"""Adapters: told from models, and merged into the one that they name."""

from __future__ import annotations

import json

import pytest
import torch

from fakes import ByteTokenizer, tiny_model
from rephrase_rl.errors import EngineError
from rephrase_rl.rollout import load_policy
from rephrase_rl.rollout.adapters import adapter_base

pytest.importorskip("peft")


@pytest.fixture
def adapter(tmp_path):
    """A LoRA adapter whose change is not zero, on a tiny model in a folder of its own."""
    from peft import LoraConfig, get_peft_model

    base = tmp_path / "base"
    tiny_model().save_pretrained(base)
    ByteTokenizer().save_pretrained(base)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = tiny_model()
    model.name_or_path = model.config._name_or_path = str(base)
    wrapped = get_peft_model(model, config)
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", wrapped.eval()


def test_the_merged_policy_is_the_same_function(adapter) -> None:
    folder, wrapped = adapter
    policy = load_policy(folder, dtype="float32")
    ids = torch.tensor([[65, 66, 67, 68]])
    with torch.no_grad():
        expected, found = wrapped(ids).logits, policy.model(ids).logits
        base = tiny_model()(ids).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, base, atol=1e-3)
    assert type(policy.model).__name__ == "LlamaForCausalLM"
    assert policy.tokenizer.chat_template == ByteTokenizer().chat_template


def test_an_own_tokenizer_comes_first(adapter) -> None:
    folder, _ = adapter
    tokenizer = ByteTokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    assert load_policy(folder).tokenizer.chat_template == tokenizer.chat_template


def test_a_folder_with_a_whole_model_is_that_model(adapter, tmp_path) -> None:
    folder, _ = adapter
    assert adapter_base(folder) == (str(tmp_path / "base"), None, 4)
    (folder / "config.json").write_text("{}")
    assert adapter_base(folder) is None
    assert adapter_base("some/hub-id") is None


def test_the_base_is_loaded_at_the_commit_that_the_adapter_names(adapter, monkeypatch) -> None:
    from rephrase_rl.rollout import policy

    folder, _ = adapter
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "revision": "abc"}))
    asked = []
    load = policy.AutoModelForCausalLM.from_pretrained

    def from_pretrained(path, **arguments):
        asked.append(arguments.pop("revision"))
        return load(path, **arguments)

    monkeypatch.setattr(policy.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    load_policy(folder)
    assert asked == ["abc"]
    file.write_text(json.dumps({**json.loads(file.read_text()), "revision": 7}))
    with pytest.raises(EngineError, match="revision is 7"):
        adapter_base(folder)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"base_model_name_or_path": null}', "[" * 5000, "\xff"]
)
def test_a_configuration_that_names_no_model_is_told(adapter, content) -> None:
    folder, _ = adapter
    (folder / "adapter_config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(EngineError, match="base_model_name_or_path"):
        adapter_base(folder)


def test_a_base_that_is_gone_and_weights_that_do_not_fit_are_told(adapter, tmp_path) -> None:
    folder, _ = adapter
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "base_model_name_or_path": str(tmp_path / "gone")}))
    with pytest.raises(EngineError, match=r"cannot load a policy from.*\n.*adapter on that model"):
        load_policy(folder)
    file.write_text(json.dumps({**config, "target_modules": ["no_such_layer"]}))
    with pytest.raises(EngineError, match="cannot be put on its model"):
        load_policy(folder)
    file.write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(EngineError, match="cannot be put on its model"):
        load_policy(folder)
