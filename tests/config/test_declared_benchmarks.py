"""Benchmarks that come with the package, and how configurations name, change and store them."""

from __future__ import annotations

import pytest

from rephrase_rl.config import (
    benchmark_names,
    config_hash,
    declared_benchmark,
    dump_config,
    parse_benchmarks,
    parse_config,
    read_benchmark_file,
)
from rephrase_rl.config.yaml_text import read_yaml
from rephrase_rl.errors import ConfigError

DECLARED = {b.name: b for b in parse_benchmarks(list(benchmark_names()))}
HASH_OF_BEFORE = "dab6bd368ddb654aa54f22e4b298a842881c030f16fb01056ea1c62d09920763"
RUN = {"method": "grpo", "model": {"path": "m"}, "data": {"path": "d.jsonl"}}
ROWS = {
    "aime24": 30, "aime25": 30, "amc23": 40, "amc83": 83, "math500": 500, "minerva": 272,
    "olympiadbench": 674, "gpqa_diamond": 198, "mmlu_pro": 12032, "super_gpqa": 26529,
    "arc_challenge": 1172, "gsm8k": 1319, "finqa": 1147, "convfinqa": 421, "tatqa": 1663,
    "lab_hard": 200, "lab_general": 200,
}  # fmt: skip


def run_with(benchmarks, **evaluation):
    return parse_config({**RUN, "evaluation": {"benchmarks": benchmarks, **evaluation}})


def test_all_are_there_with_their_numbers_of_problems() -> None:
    assert {name: b.expected_rows for name, b in DECLARED.items()} == ROWS


@pytest.mark.parametrize("name", sorted(ROWS))
def test_each_states_its_whole_protocol(name) -> None:
    raw, benchmark = declared_benchmark(name), DECLARED[name]
    assert benchmark.name == name
    for field in ("title", "source", "licence", "judge", "prompt", "samples_per_problem"):
        assert raw[field], field
    for field in ("temperature", "top_p", "max_new_tokens", "data", "expected_rows"):
        assert field in raw, field
    assert benchmark.layouts or name.startswith("lab_")
    assert benchmark.temperature > 0 or benchmark.samples_per_problem == 1


def test_a_name_stands_for_the_whole() -> None:
    (benchmark,) = run_with("math500").evaluation.benchmarks
    assert benchmark == DECLARED["math500"]
    assert [b.name for b in run_with(["aime24", "gsm8k"]).evaluation.benchmarks] == [
        "aime24",
        "gsm8k",
    ]


def test_changes_are_put_over_the_declared_fields() -> None:
    changed = {"like": "math500", "name": "short", "limit": 10, "data": {"path": "copy.jsonl"}}
    (benchmark,) = run_with([changed]).evaluation.benchmarks
    assert (benchmark.name, benchmark.limit, benchmark.data.path) == ("short", 10, "copy.jsonl")
    assert (benchmark.data.split, benchmark.expected_rows) == ("test", 500)
    assert benchmark.layouts == DECLARED["math500"].layouts


def test_overrides_reach_a_benchmark_that_was_only_named() -> None:
    config = parse_config(
        {**RUN, "evaluation": {"benchmarks": ["gsm8k"]}},
        overrides=["evaluation.benchmarks.gsm8k.data.path=here.jsonl"],
    )
    assert config.evaluation.benchmarks[0].data.path == "here.jsonl"


def test_a_stored_configuration_says_everything() -> None:
    config = run_with(["gpqa_diamond"])
    stored = read_yaml(dump_config(config))
    assert stored["evaluation"]["benchmarks"][0]["prompt"]["text"].startswith("Answer the")
    assert parse_config(stored) == config


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean math500"):
        run_with(["math50"])
    with pytest.raises(ConfigError) as caught:
        run_with([{"like": "nothing"}, {"like": "math500", "temprature": 1}])
    assert "found benchmark 'nothing'" in str(caught.value)
    assert "did you mean `temperature`" in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "match"),
    [
        ({}, "neither template nor text; required: either"),
        ({"template": "a", "text": "{question}"}, "template and text; required: either"),
        ({"template": "a", "system": "s"}, "found system beside template"),
        ({"text": "no place"}, "0 times in text; required: exactly once"),
        ({"text": "{question} {question}"}, "2 times in text; required: exactly once"),
    ],
)
def test_a_prompt_is_a_template_or_a_text(prompt, match) -> None:
    with pytest.raises(ConfigError, match=match):
        run_with([{"like": "gsm8k", "prompt": prompt}])


def test_no_k_exceeds_the_samples() -> None:
    with pytest.raises(ConfigError, match="ks has 8, and samples_per_problem is 4"):
        run_with([{"like": "aime24", "ks": [1, 8]}])
    assert run_with([{"like": "aime24", "ks": [1, 2]}]).evaluation.benchmarks[0].ks == (1, 2)


def test_benchmarks_without_the_new_fields_have_the_hash_of_before() -> None:
    old = {"name": "b", "data": {"path": "t.jsonl", "mapping": {"question": "q"}}}
    # Made by the version before benchmarks could be declared.
    assert config_hash(run_with([old])) == HASH_OF_BEFORE
    for field, value in (("expected_rows", 3), ("subset", True), ("subject", "s"), ("ks", [1])):
        assert config_hash(run_with([{**old, field: value}])) != HASH_OF_BEFORE
    old["data"]["mapping"]["rows_in"] = "questions"
    assert config_hash(run_with([old])) != HASH_OF_BEFORE


def test_a_file_of_ones_own(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndata: {path: x.jsonl}\n")
    assert read_benchmark_file(path) == {"name": "mine", "data": {"path": "x.jsonl"}}
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_benchmark_file(path)
    path.write_text("- a")
    with pytest.raises(ConfigError, match="found list"):
        read_benchmark_file(path)
    with pytest.raises(ConfigError, match="no readable file"):
        read_benchmark_file(tmp_path / "absent.yaml")
