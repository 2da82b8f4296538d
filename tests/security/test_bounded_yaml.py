"""Configurations are bounded: no file, override or run directory eats the machine or its stack."""

from __future__ import annotations

import time

import pytest
import yaml

from rephrase_rl.bounded_yaml import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES
from rephrase_rl.config import load_config, parse_config, read_yaml
from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.runs import RunDirectory

# Eleven lines that stand for 10 ** 10 texts.
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)
MERGED = "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\nb: {<<: ["
MERGED += ", ".join(["*a"] * 60) + "]}\n"
TOO_MUCH = {
    "aliases of aliases": LAUGHS,
    "merged aliases": MERGED,
    "nested lists": "[" * 50_000,
    "nested mappings": "{a: " * 5_000,
    "nested blocks": "".join("  " * i + "a:\n" for i in range(500)),
    "a part of itself": "a: &a [*a]",
    "a mapping that is its own value": "a: &a {b: *a}",
    "too long": "a" * (MAX_CHARACTERS + 1),
}
NOT_PLAIN = {
    "python objects": "!!python/object/apply:os.system [exit]",
    "a number of many digits": "1" * 6000,
    "no number": "!!int x",
    "no truth value": "!!bool x",
    "no time": "!!timestamp x",
    "no set": "!!set [a]",
    "bad base64": "!!binary x",
}


@pytest.mark.parametrize("text", [*TOO_MUCH.values(), *NOT_PLAIN.values()],
                         ids=[*TOO_MUCH, *NOT_PLAIN])  # fmt: skip
def test_too_much_and_what_is_not_plain_is_refused_at_once(tmp_path, text) -> None:
    started = time.process_time()
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)
    with pytest.raises(ConfigError):
        load_config(file)
    with pytest.raises(ConfigError, match="--set"):
        parse_config({"method": "repo"}, overrides=[f"model={text}"])
    run = RunDirectory.create(tmp_path / "run", {"seed": 0}, text)
    with pytest.raises(CheckpointError):
        _ = run.config
    assert time.process_time() - started < 5.0


def test_aliases_and_merge_keys_within_reason_still_work() -> None:
    text = "base: &b {limit: 5}\ndata: [*b, {<<: *b, name: x}]"
    assert read_yaml(text)["data"] == [{"limit": 5}, {"limit": 5, "name": "x"}]


def test_the_limits_are_where_they_are_said_to_be() -> None:
    nested = MAX_DEPTH - 1
    assert read_yaml("[" * nested + "x" + "]" * nested)
    with pytest.raises(yaml.YAMLError, match=f"deeper than {MAX_DEPTH}"):
        read_yaml("[" * MAX_DEPTH + "x" + "]" * MAX_DEPTH)
    # A list of 999 values counts 1,000, of which aliases may write out as many as fit.
    items = f"[{', '.join(['x'] * 999)}]"
    most = MAX_NODES // 1000 - 1
    assert len(read_yaml(f"- &a {items}\n" + "- *a\n" * (most - 1))) == most
    with pytest.raises(yaml.YAMLError, match="more than 100,000 values"):
        read_yaml(f"- &a {items}\n" + "- *a\n" * most)


def test_a_value_inside_itself_is_called_that() -> None:
    with pytest.raises(yaml.YAMLError, match="itself a part of"):
        read_yaml("a: &a {b: [*a]}")
