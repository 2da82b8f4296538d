"""What a configuration may say of several data sets, and what follows for judges and benchmarks."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from rephrase_rl.config import (
    all_benchmarks,
    config_hash,
    config_to_plain,
    deciding_reward,
    parse_config,
)
from rephrase_rl.errors import ConfigError


def config(*sets: dict[str, Any], **changes: Any):
    data = [{"name": f"s{i}", "path": f"lab:{i}"} | item for i, item in enumerate(sets)]
    return parse_config({"method": "repo", "model": {"path": "m"}, "data": data} | changes)


def test_all_sets_have_a_weight_or_none() -> None:
    assert [d.weight for d in config({"weight": 2}, {"weight": 0.5}).data] == [2.0, 0.5]
    with pytest.raises(ConfigError, match=r"no weight of s1, and weights of the other sets"):
        config({"weight": 2}, {})


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_a_weight_is_a_positive_number(weight) -> None:
    with pytest.raises(ConfigError, match="weight"):
        config({"weight": weight})


def test_a_wrong_gate_of_a_set_is_told_where_it_stands() -> None:
    assert config({"gate": {"kind": "never"}}).data[0].gate.kind == "never"
    with pytest.raises(ConfigError, match=r"data\.0\.gate.*did you mean never"):
        config({"gate": {"kind": "nevr"}})


def test_hash_without_a_mixture_is_that_of_a_configuration_without_its_fields() -> None:
    benchmark = {"name": "b", "data": {"path": "lab:easy"}}
    plain_run = config({}, {}, evaluation={"benchmarks": [benchmark]})
    plain = config_to_plain(plain_run)
    del plain["output_dir"], plain["log"], plain["guards"], plain["plan"], plain["verl"]
    for name in ("trust_remote_code", "lora", "load_in_4bit"):
        del plain["model"][name]
    for rule in ("early_stop", "keep_best", "retention"):
        del plain["evaluation"][rule]
    for item in plain["data"]:
        for name in ("weight", "rewards", "correctness", "gate", "evaluate"):
            del item[name]
    declared = ("title", "source", "licence", "expected_rows", "subset", "layouts")
    for name in ("judge", "prompt", "ks", "subject", "difficulty", *declared):
        del plain["evaluation"]["benchmarks"][0][name]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert config_hash(plain_run) == hashlib.sha256(text.encode()).hexdigest()
    mixed = [
        config({"weight": 1}, {"weight": 1}),
        config({"gate": {"kind": "never"}}, {}),
        config({"rewards": {"verifier": "exact"}}, {}),
        config({"evaluate": {}}, {}),
        config({}, {}),
    ]
    assert len({config_hash(c) for c in mixed}) == 5


def test_the_deciding_reward_is_the_sets_then_the_runs() -> None:
    exact, math = {"verifier": "exact"}, {"verifier": "math"}
    run = config(
        {"rewards": math},
        {"rewards": [exact, math], "correctness": "math"},
        {},
        rewards=[exact, {"verifier": "a:b"}],
        guidance={"correctness": "a:b"},
    )
    deciding = [deciding_reward(run, data) for data in run.data]
    assert [reward.verifier for reward in deciding] == ["math", "math", "a:b"]
    assert deciding_reward(config({}), config({}).data[0]) is None
    unsaid = config({"rewards": [exact, math]})
    with pytest.raises(ConfigError, match=r"data\.s0\.correctness to one of exact, math"):
        deciding_reward(unsaid, unsaid.data[0])
    with pytest.raises(ConfigError, match="not among the set's rewards"):
        config({"rewards": exact, "correctness": "math"})


def test_evaluate_is_a_benchmark_with_the_sets_source_and_judge() -> None:
    own = {
        "path": "hub/set",
        "mapping": "gsm8k",
        "config_name": "main",
        "limit": 9,
        "expert_tokens": 5,
        "rewards": {"verifier": "math", "options": {"timeout_s": 3}},
        "evaluate": {"limit": 7, "samples_per_problem": 4, "temperature": 0.0},
    }
    explicit = {"name": "b", "data": {"path": "lab:easy"}}
    first, made = all_benchmarks(config(own, {}, evaluation={"benchmarks": [explicit]}))
    assert (first.name, first.judge) == ("b", None)
    assert (made.name, made.limit, made.samples_per_problem, made.temperature) == ("s0", 7, 4, 0.0)
    assert (made.data.path, made.data.split, made.data.limit) == ("hub/set", "test", 7)
    assert (made.data.mapping, made.data.config_name) == ("gsm8k", "main")
    assert (made.judge.verifier, made.judge.options) == ("math", {"timeout_s": 3})
    (by_run,) = all_benchmarks(config({"evaluate": {}}, rewards={"verifier": "exact"}))
    assert by_run.judge.verifier == "exact"


def test_a_set_is_not_evaluated_on_its_training_problems(tmp_path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("{}\n")
    with pytest.raises(ConfigError) as caught:
        all_benchmarks(
            config({"evaluate": {"split": "train"}}, {"path": str(file), "evaluate": {}})
        )
    assert "data.s0.evaluate" in str(caught.value)
    assert "data.s1.evaluate" in str(caught.value)
    (made,) = all_benchmarks(config({"path": str(file), "evaluate": {"path": "test.jsonl"}}))
    assert made.data.path == "test.jsonl"


def test_a_benchmark_does_not_take_a_sets_name() -> None:
    explicit = {"name": "s0", "data": {"path": "lab:easy"}}
    with pytest.raises(ConfigError, match="s0 occurs more than once"):
        config({"evaluate": {}}, evaluation={"benchmarks": [explicit]})
