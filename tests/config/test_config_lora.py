"""Adapters in a configuration: their defaults, and what cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest

from rephrase_rl.config import config_hash, config_to_plain, dump_config, parse_config, read_yaml
from rephrase_rl.errors import ConfigError

RUN = {"method": "repo", "data": {"path": "lab:hard"}}


def config(*overrides: str, **model: Any):
    return parse_config(RUN | {"model": {"path": "lab:base"} | model}, overrides=overrides)


def fault(**model: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config(**model)
    (found,) = caught.value.faults
    return found


def test_all_weights_are_trained_unless_adapters_are_asked_for() -> None:
    assert config().model.lora is None
    lora = config(lora={}).model.lora
    assert (lora.r, lora.alpha, lora.dropout, lora.use_rslora) == (16, 32, 0.0, False)
    assert lora.takes_all_linear


def test_one_override_asks_for_adapters() -> None:
    assert config("model.lora.r=8").model.lora.r == 8
    assert config("model.lora={}").model.lora.r == 16


def test_a_lone_name_is_a_list_of_one_and_survives_a_file() -> None:
    run = config(lora={"target_modules": "q_proj"})
    assert run.model.lora.target_modules == ("q_proj",)
    assert not run.model.lora.takes_all_linear
    assert parse_config(read_yaml(dump_config(run))) == run


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"lora": {"target_modules": ["q_proj", "lm_head"]}}, "found lm_head"),
        ({"lora": {"target_modules": ["all-linear", "q_proj"]}}, "write either alone"),
        ({"lora": {"target_modules": []}}, "at least 1 item"),
        ({"lora": {"r": 0}}, "model.lora.r"),
        ({"lora": {"dropout": 1.0}}, "less than 1"),
        ({"lora": {"rank": 4}}, "unknown field `rank`"),
        ({"load_in_4bit": True}, "add lora: {r: 16}"),
        ({"lora": {}, "load_in_4bit": True, "gguf_file": "m.gguf"}, "quantised already"),
    ],
)
def test_what_cannot_be_meant_is_told(model, said) -> None:
    assert said in fault(**model)


def test_a_fault_within_the_adapters_is_not_told_twice() -> None:
    assert "model.lora.r" in fault(lora={"r": 0}, load_in_4bit=True)


def test_a_run_of_all_weights_has_the_hash_that_it_had_before_there_were_adapters() -> None:
    runs = [config(), config(lora={}), config(lora={"r": 8}), config(lora={}, load_in_4bit=True)]
    assert len({config_hash(run) for run in runs}) == len(runs)
    plain = config_to_plain(config())
    del plain["model"]["lora"], plain["model"]["load_in_4bit"]
    assert config_hash(parse_config(plain)) == config_hash(config())


def test_teachers_have_no_adapters_to_train() -> None:
    from rephrase_rl.config import parse_experts

    raw = {"data": {"path": "lab:hard"}, "output": "o.jsonl"}
    with pytest.raises(ConfigError, match="unknown field `lora`"):
        parse_experts(raw | {"teacher": {"kind": "model", "path": "m", "lora": {}}}, {})
