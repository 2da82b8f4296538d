"""A value of another type in a run directory is told with its place; nothing crashes on it."""

from __future__ import annotations

import json

import pytest

from rephrase_rl.errors import RephraseError
from rephrase_rl.guidance.ledger import Ledger
from rephrase_rl.reports import write_report
from reports.synthetic_run import make_run

DAMAGE = {
    "a group that is a list": ("groups.jsonl", lambda row: [row]),
    "candidates that are a number": ("groups.jsonl", lambda row: row | {"candidates": 5}),
    "a candidate without a verdict": ("groups.jsonl", lambda row: row | {"candidates": [{}]}),
    "refusals that are text": (
        "groups.jsonl",
        lambda row: row | {"candidates": [{"accepted": False, "refusals": "abc"}]},
    ),
    "a reason that is a list": ("groups.jsonl", lambda row: row | {"gate_reason": []}),
    "members that are text": ("groups.jsonl", lambda row: row | {"members": "abc"}),
    "a place that is not there": ("groups.jsonl", lambda row: row | {"slot": 4}),
    "a step that is text": ("steps.jsonl", lambda row: row | {"step": "0"}),
    "a metric that is text": ("steps.jsonl", lambda row: row | {"metrics": {"reward": "1"}}),
    "a metric beyond all floats": ("steps.jsonl", lambda row: row | {"metrics": {"x": 10**400}}),
    "hardware that is text": ("manifest.json", lambda row: row | {"hardware": "big"}),
    "memory that is text": (
        "manifest.json",
        lambda row: row | {"hardware": {"memory_bytes": "many"}},
    ),
    "a manifest that is null": ("manifest.json", lambda row: None),
    "a sum that is text": ("summary.json", lambda row: {"wall_s": "long"}),
    "a mean that is text": (
        "evals/4/hard/result.json",
        lambda row: row | {"avg_at_k": {"mean": "1"}},
    ),
    "a count that is a list": (
        "evals/4/hard/result.json",
        lambda row: row | {"unscorable": {"timeout": []}},
    ),
    "samples without a number": (
        "evals/4/hard/result.json",
        lambda row: row | {"pass_at_k": {"many": {}}},
    ),
    "half a utilisation": ("evals/4/hard/result.json", lambda row: row | {"utilisation": {}}),
}


@pytest.mark.parametrize(("name", "change"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_value_of_another_type_is_told(tmp_path, name, change) -> None:
    run = make_run(tmp_path / "run")
    file = run.path / name
    lines = file.read_text().splitlines() if name.endswith("l") else [file.read_text()]
    lines[0] = json.dumps(change(json.loads(lines[0])))
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(RephraseError):
        write_report(run.path)


@pytest.mark.parametrize("depth", [60, 900, 50_000])
@pytest.mark.parametrize("name", ["manifest.json", "summary.json", "groups.jsonl", "steps.jsonl"])
def test_deep_nesting_is_told(tmp_path, name, depth) -> None:
    run = make_run(tmp_path / "run")
    deep = "[" * depth + "]" * depth
    line = (run.path / name).read_text().splitlines()[0] if name.endswith("l") else "{}"
    middle = "" if line == "{}" else ", "
    (run.path / name).write_text(f'{line[:-1]}{middle}"x": {deep}}}\n')
    with pytest.raises(RephraseError):
        write_report(run.path)
    if name == "groups.jsonl":
        with pytest.raises(RephraseError):
            Ledger.of_run(run)
