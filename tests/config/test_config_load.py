"""Reading and checking of run configurations: every fault at once, nothing dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from rephrase_rl.config import load_config, parse_config
from rephrase_rl.errors import ConfigError

MINIMAL = {"method": "repo", "model": {"path": "lab:base"}, "data": {"path": "lab:mixed"}}


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


MINIMAL_YAML = "method: repo\nmodel: {path: lab:base}\ndata: {path: lab:mixed}\n"


def test_minimal_file_takes_every_default(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL_YAML))
    assert config == parse_config(MINIMAL)
    assert (config.seed, config.rewards, config.evaluation.benchmarks) == (0, (), ())
    assert config.data[0].split == "train"


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    text = (
        "methd: repo\nmodel: {path: '', dtype: fp16, revisio: x}\n"
        "data: {path: x, limit: '3'}\nseed: true\n"
        "evaluation: {benchmarks: [{name: a/b}]}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), ["nonsense", "evaluation.benchmarks.7.limit=1"])
    places = [fault.split(": ")[0] for fault in caught.value.faults]
    assert places == [
        "--set nonsense",
        "--set evaluation.benchmarks.7.limit=1",
        "method",
        "model.path",
        "model.dtype",
        "model.revisio",
        "data.limit",  # as the user wrote it: the lone mapping has no index
        "seed",
        "evaluation.benchmarks.0.name",
        "evaluation.benchmarks.0.data",
        "methd",
    ]
    report = str(caught.value)
    assert "did you mean `revision`?" in report
    assert "did you mean `method`?" in report
    assert "required: one of auto, float32, bfloat16" in report


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("modl.path=x", "modl"),
        ("model.pth=x", "model.pth"),
        ("data.0.nme=x", "data.nme"),
        ("evaluation.every=3", "evaluation.every"),
    ],
)
def test_unknown_path_in_an_override_is_a_fault(tmp_path: Path, override: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, MINIMAL_YAML), [override])
    assert [fault.split(": ")[0] for fault in caught.value.faults] == [place]


def test_overrides_are_yaml_and_the_last_one_wins(tmp_path: Path) -> None:
    overrides = [
        "seed=1",
        "trainer.learning_rate=1e-6",
        "data.0.limit=5",
        "seed=2",
        "guidance.gate.kind=never",
        "model.revision=null",
    ]
    config = load_config(write(tmp_path, MINIMAL_YAML), overrides)
    assert config.seed == 2
    assert config.trainer == {"learning_rate": 1e-6}
    assert config.data[0].limit == 5
    assert config.guidance == {"gate": {"kind": "never"}}
    assert config.model.revision is None


def test_list_items_are_found_by_index_and_by_name(tmp_path: Path) -> None:
    text = MINIMAL_YAML + (
        "evaluation:\n  benchmarks:\n"
        "  - {name: hard, data: {path: lab:hard}}\n  - {name: easy, data: {path: lab:easy}}\n"
    )
    config = load_config(
        write(tmp_path, text),
        ["evaluation.benchmarks.easy.limit=7", "evaluation.benchmarks.0.data.seed=3"],
    )
    hard, easy = config.evaluation.benchmarks
    assert (hard.limit, hard.data.seed) == (None, 3)
    assert (easy.limit, easy.data.seed) == (7, 0)


@pytest.mark.parametrize(
    "text",
    [
        "method: [",
        "- a\n- b\n",
        "",
        MINIMAL_YAML + "seed: 1\nseed: 2\n",
        "model: {path: a, path: b}",
    ],
    ids=["syntax", "list", "empty", "key twice", "nested key twice"],
)
def test_files_that_are_no_yaml_mapping_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="required"):
        load_config(write(tmp_path, text))


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check the path"):
        load_config(tmp_path / "absent.yaml")


def test_exponents_are_numbers_and_dates_are_text(tmp_path: Path) -> None:
    text = MINIMAL_YAML + "trainer: {a: 1e-6, b: 2E3, c: -1.5e+2, d: 12, e: 2026-01-01, f: 1e}\n"
    config = load_config(write(tmp_path, text))
    assert config.trainer == {
        "a": 1e-6,
        "b": 2000.0,
        "c": -150.0,
        "d": 12,
        "e": "2026-01-01",
        "f": "1e",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {"a": [{"b": object()}]}])
def test_free_mappings_hold_plain_data_only(value: object) -> None:
    with pytest.raises(ConfigError, match=r"trainer: found x.*required: text, finite"):
        parse_config({**MINIMAL, "trainer": {"x": value}})


def test_several_rewards_need_the_name_of_the_one_that_decides_failure() -> None:
    rewards = [{"verifier": "math"}, {"verifier": "exact", "weight": 0.1}]
    with pytest.raises(ConfigError, match="write one of: math, exact"):
        parse_config({**MINIMAL, "rewards": rewards})
    with pytest.raises(ConfigError, match="not among the rewards"):
        parse_config({**MINIMAL, "rewards": rewards, "guidance": {"correctness": "mth"}})
    config = parse_config({**MINIMAL, "rewards": rewards, "guidance": {"correctness": "math"}})
    assert [reward.weight for reward in config.rewards] == [1.0, 0.1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rewards", [{"verifier": "math"}, {"verifier": "math"}]),
        ("data", [{"path": "a"}, {"path": "b"}]),
        ("evaluation", {"benchmarks": [{"name": "a", "data": {"path": "x"}}] * 2}),
    ],
)
def test_names_that_records_rely_on_occur_once(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match="occurs more than once"):
        parse_config({**MINIMAL, field: value})


def test_benchmarks_do_not_default_to_the_training_split() -> None:
    benchmark = {"name": "b", "data": {"path": "lab:hard"}}
    config = parse_config({**MINIMAL, "evaluation": {"benchmarks": benchmark}})
    assert config.evaluation.benchmarks[0].data.split == "test"


def test_config_is_frozen_and_shares_nothing_with_its_input() -> None:
    raw = {**MINIMAL, "trainer": {"nested": {"a": 1}}}
    config = parse_config(raw)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]
    raw["trainer"]["nested"]["a"] = 2
    assert config.trainer == {"nested": {"a": 1}}


def test_a_path_in_the_place_of_a_block_is_shown_as_one() -> None:
    raw = {"method": "grpo", "model": "lab:base", "data": "lab:hard"}
    with pytest.raises(ConfigError) as raised:
        parse_config(raw)
    model, data = raised.value.faults
    assert "required: a mapping; do this: write it as model: {path: 'lab:base'}" in model
    assert "required: a mapping; do this: write it as data: {path: 'lab:hard'}" in data
