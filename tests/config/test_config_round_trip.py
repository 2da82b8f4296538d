"""Properties: what is dumped loads as the same configuration, and an unknown key never passes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.config import RunConfig, config_hash, dump_config, load_config, parse_config
from rephrase_rl.config.yaml_text import read_yaml, write_yaml
from rephrase_rl.errors import ConfigError

# Surrogates cannot be written as UTF-8.
texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
tricky_texts = texts | st.sampled_from(
    [
        "1e-6",
        "null",
        "true",
        "no",
        "~",
        "=",
        "<<",
        "2026-01-01",
        "1:30",
        "0x1f",
        " a",
        "a: b",
        "#",
        "\x85",
        "\u2028",
    ]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
plain_values = st.recursive(
    st.none() | st.booleans() | numbers | tricky_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tricky_texts, inner, max_size=3),
    max_leaves=6,
)
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,6}\Z")
positive = st.integers(1, 10**9)


columns = tricky_texts | st.lists(tricky_texts, max_size=2)
mappings = tricky_texts | st.fixed_dictionaries(
    {},
    optional={
        "like": tricky_texts,
        "question": columns,
        "fixed_options": columns,
        "reference_answer": st.none() | tricky_texts,
        "expert_form": st.sampled_from([None, "text", "lines"]),
        "append_answer": st.none() | st.booleans(),
        "table": st.fixed_dictionaries(
            {}, optional={"header": columns, "delimiter": tricky_texts, "quoted": st.booleans()}
        ),
    },
)


def data_sets(splits: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"path": tricky_texts, "name": names},
        optional={
            "mapping": mappings,
            "expert_part": st.sampled_from(["whole", "after_think", "think"]),
            "expert_tokens": st.none() | positive,
            "limit": st.none() | positive,
            "split": splits,
            "seed": st.integers(0, 2**40),
            "expert": st.sampled_from(["alien", "near"]),
            "revision": st.none() | tricky_texts,
        },
    )


configs = st.fixed_dictionaries(
    {
        "method": tricky_texts,
        "model": st.fixed_dictionaries({"path": tricky_texts}),
        "data": st.lists(data_sets(texts), min_size=1, max_size=3, unique_by=lambda d: d["name"]),
    },
    optional={
        "seed": st.integers(0, 2**32 - 1),
        "output_dir": st.none() | tricky_texts,
        "rewards": st.lists(
            st.fixed_dictionaries(
                {"verifier": tricky_texts},
                optional={
                    "weight": st.floats(-5, 5),
                    "options": st.dictionaries(tricky_texts, plain_values, max_size=2),
                },
            ),
            max_size=1,
        ),
        "trainer": st.dictionaries(tricky_texts, plain_values, max_size=3),
        "evaluation": st.fixed_dictionaries(
            {},
            optional={
                "before": st.booleans(),
                "every_steps": st.none() | positive,
                "benchmarks": st.lists(
                    st.fixed_dictionaries({"name": names, "data": data_sets(texts)}),
                    max_size=2,
                    unique_by=lambda b: b["name"],
                ),
            },
        ),
    },
)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(configs)
def test_dump_then_load_is_identity(raw: dict[str, Any]) -> None:
    config = parse_config(raw)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(dump_config(config), encoding="utf-8")
        again = load_config(path)
    assert again == config
    assert config_hash(again) == config_hash(config)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(plain_values)
def test_plain_values_survive_yaml(value: object) -> None:
    assert read_yaml(write_yaml(value)) == value
    assert type(read_yaml(write_yaml(value))) is type(value)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(texts)
def test_an_unknown_key_always_fails(key: str) -> None:
    raw: dict[str, Any] = {"method": "repo", "model": {"path": "m"}, "data": {"path": "d"}}
    if key not in RunConfig.model_fields:
        with pytest.raises(ConfigError):
            parse_config({**raw, key: None})
    if key not in ("path", "revision", "dtype", "gguf_file"):
        with pytest.raises(ConfigError):
            parse_config({**raw, "model": {"path": "m", key: None}})


def test_hash_ignores_order_and_place_but_nothing_else() -> None:
    raw = {"method": "repo", "model": {"path": "m"}, "data": {"path": "d"}}
    reference = config_hash(parse_config(raw))
    reordered = {"data": {"path": "d"}, "method": "repo", "model": {"path": "m"}}
    assert config_hash(parse_config(reordered)) == reference
    assert config_hash(parse_config({**raw, "output_dir": "x"})) == reference
    assert config_hash(parse_config({**raw, "log": {"groups": "none"}})) == reference
    assert config_hash(parse_config({**raw, "seed": 1})) != reference
    assert config_hash(parse_config({**raw, "trainer": {"a": 0}})) != reference
    # A hash that changes from version to version is of no use in a card: this one is frozen.
    assert len(reference) == 64
