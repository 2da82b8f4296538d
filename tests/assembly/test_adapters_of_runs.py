"""Adapters of a run: what does not go with them, and which layers have one."""

from __future__ import annotations

from typing import Any

import pytest
from peft import get_peft_model

from fakes import ByteTokenizer, tiny_model
from rephrase_rl.assembly.adapters import (
    load_with_adapter,
    new_adapter,
    refuse_unfit_adapters,
    trained_part,
    without_adapter,
)
from rephrase_rl.config import PolicyConfig, parse_config
from rephrase_rl.errors import ConfigError, EngineError
from rephrase_rl.methods import resolve_config


def run(lora: Any = None, trainer: Any = None, **model: Any):
    raw = {
        "method": "repo",
        "model": {"path": "m", "lora": {} if lora is None else lora} | model,
        "data": {"path": "d.jsonl"},
        "trainer": trainer or {},
    }
    return resolve_config(parse_config(raw))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lora": {"dropout": 0.1}}, "trainer.disable_dropout true"),
        ({"load_in_4bit": True, "trainer": {"use_vllm": True}}, "trl#4973"),
        ({"gguf_file": "m.gguf"}, "export merged"),
        ({"path": "m.gguf"}, "export merged"),
        ({"trainer": {"sync_ref_model": True}}, "sync_ref_model"),
    ],
)
def test_settings_that_would_undo_it_are_refused(options, said) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_unfit_adapters(run(**options))
    (fault,) = caught.value.faults
    assert said in fault


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, {"path": "m.gguf"}),
        (
            {"lora": {"dropout": 0.1}, "trainer": {"disable_dropout": False}},
            {"trainer": {"disable_dropout": True}},
        ),
        ({"trainer": {"use_vllm": True}}, {"load_in_4bit": True}),
        ({"load_in_4bit": True}, {"trainer": {"use_vllm": True}}),
    ],
)
def test_what_goes_together_is_let_through_until_one_setting_changes(options, change) -> None:
    faults = []
    for settings in (options, options | change):
        try:
            refuse_unfit_adapters(run(**settings))
            faults.append(0)
        except ConfigError as error:
            faults.append(len(error.faults))
    assert faults == [0, 1]


def test_every_linear_layer_but_the_output_projection_has_an_adapter() -> None:
    model = tiny_model()
    made = get_peft_model(model, new_adapter(PolicyConfig(path="m", lora={"r": 3}), model))
    ranks = {n.split(".lora_A")[0]: p.shape[0] for n, p in made.named_parameters() if "lora_A" in n}
    assert {name.rpartition(".")[2] for name in ranks} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert set(ranks.values()) == {3}


def test_every_field_reaches_peft() -> None:
    lora = {"r": 4, "alpha": 5, "dropout": 0.25, "target_modules": ["q_proj"], "use_rslora": True}
    made = new_adapter(PolicyConfig(path="m", lora=lora, revision="abc"), tiny_model())
    assert (made.r, made.lora_alpha, made.lora_dropout, made.use_rslora) == (4, 5, 0.25, True)
    assert made.target_modules == {"q_proj"}
    assert (made.task_type, made.revision) == ("CAUSAL_LM", "abc")


def test_layers_that_are_not_there_are_named_with_those_that_are() -> None:
    names = ["q_proj", "proj", "W_pack", "input_layernorm", "self_attn.k_proj"]
    model = PolicyConfig(path="m", lora={"target_modules": names})
    with pytest.raises(ConfigError) as caught:
        new_adapter(model, tiny_model())
    said = str(caught.value)
    assert "found proj, W_pack, input_layernorm, which" in said
    assert said.endswith("down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj")


def test_without_peft_the_extra_is_named(monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(EngineError, match=r"'\.\[peft\]'"):
        new_adapter(PolicyConfig(path="m", lora={}), tiny_model())


@pytest.fixture
def adapter(tmp_path):
    """An adapter of rank 4 on two kinds of layers, whose change is not zero."""
    from peft import LoraConfig

    base = tmp_path / "base"
    tiny_model().save_pretrained(base)
    ByteTokenizer().save_pretrained(base)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False
    )
    model = tiny_model()
    model.name_or_path = str(base)
    made = get_peft_model(model, config)
    made.save_pretrained(tmp_path / "adapter")
    return str(tmp_path / "adapter")


OWN = {"r": 4, "alpha": 8, "target_modules": ["v_proj", "q_proj"]}


def test_a_run_that_starts_from_an_adapter_trains_that_one_on(adapter) -> None:
    model = PolicyConfig(path=adapter, lora=OWN)
    policy = load_with_adapter(model, for_training=True).model
    assert new_adapter(model, policy) is None
    trained = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


def test_without_lora_or_without_training_it_is_merged(adapter) -> None:
    for model, training in (
        (PolicyConfig(path=adapter), True),
        (PolicyConfig(path=adapter, lora=OWN), False),
    ):
        policy = load_with_adapter(model, for_training=training).model
        assert type(policy).__name__ == "LlamaForCausalLM"
        assert all(p.requires_grad for p in policy.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"r": 8}, "model.lora.r: found 8, the adapter has 4"),
        ({"alpha": 4}, "model.lora.alpha"),
        ({"use_rslora": True}, "model.lora.use_rslora"),
        ({"dropout": 0.5}, "model.lora.dropout"),
        ({"target_modules": ["q_proj"]}, "the adapter has ['q_proj', 'v_proj']"),
        (
            {"target_modules": "all-linear"},
            "none on ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'up_proj']",
        ),
    ],
)
def test_another_adapter_than_the_configured_one_is_refused(adapter, change, said) -> None:
    with pytest.raises(ConfigError, match="export merged") as caught:
        load_with_adapter(PolicyConfig(path=adapter, lora=OWN | change), for_training=True)
    (fault,) = caught.value.faults
    assert said in fault


def test_sizes_of_an_adapters_model_are_read_where_it_lies(adapter, tmp_path) -> None:
    found = without_adapter(PolicyConfig(path=adapter, revision="x"))
    assert (found.path, found.revision) == (str(tmp_path / "base"), None)
    whole = PolicyConfig(path="some/hub-id", revision="x")
    assert without_adapter(whole) == whole


def test_what_is_trained_is_said_with_its_rate() -> None:
    assert trained_part(run(lora={"r": 8}, trainer={"learning_rate": 1e-5})) == (
        "adapters of rank 8 on all-linear, rate 1e-05"
    )
    assert "4 bits" in trained_part(run(load_in_4bit=True))
    plain = run().model_copy(update={"model": PolicyConfig(path="m")})
    assert trained_part(plain) == "all weights, rate 1e-06"
