"""What the manifest says of policy, tokenizer and data: equal for equal ones, and for no others."""

from __future__ import annotations

import copy

import pytest

from rephrase_rl.assembly.benchmarks import LoadedBenchmark
from rephrase_rl.assembly.objects import load_model
from rephrase_rl.assembly.own_code import own_code
from rephrase_rl.assembly.provenance import describe_policy, equal_questions, provenance
from rephrase_rl.config import BenchmarkConfig, ModelConfig, parse_config
from rephrase_rl.records import Problem

CONFIG = {
    "method": "repo",
    "model": {"path": "lab:base"},
    "data": [
        {"name": "a", "path": "lab:hard"},
        {"name": "b", "path": "someone/something", "revision": "abc"},
    ],
}


@pytest.fixture(scope="module")
def policy():
    return load_model(ModelConfig(path="lab:base"))


def problem(name: str, question: str, dataset: str = "") -> Problem:
    return Problem(name, ({"role": "user", "content": question},), "1", dataset=dataset)


def benchmark(*problems: Problem) -> LoadedBenchmark:
    data = {"path": "lab:hard", "split": "test"}
    return LoadedBenchmark(BenchmarkConfig(name="hard", data=data), list(problems))


def test_a_changed_weight_or_template_is_another_policy(policy):
    first = describe_policy(policy, "lab:base")
    assert first == describe_policy(policy, "lab:base")
    assert (first["kind"], first["dtype"], first["commit"]) == ("lab", "float32", None)
    assert first["parameters"] == sum(p.numel() for p in policy.model.parameters())
    changed = copy.deepcopy(policy.model)
    next(changed.parameters()).data.flatten()[3] += 1e-3
    other = describe_policy(type(policy)(changed, policy.tokenizer), "lab:base")
    assert other["weights_sha256"] != first["weights_sha256"]
    assert other["tokenizer_sha256"] == first["tokenizer_sha256"]


def test_padding_of_the_last_user_is_not_part_of_the_tokenizer(policy):
    before = describe_policy(policy, "x")["tokenizer_sha256"]
    policy.tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)
    assert describe_policy(policy, "x")["tokenizer_sha256"] == before


def test_data_sets_are_named_with_rows_and_hashes(policy):
    config = parse_config(CONFIG)
    problems = [problem("p1", "one", "a"), problem("p2", "two", "b"), problem("p2", "two", "b")]
    found = provenance(config, problems, [benchmark(problem("q", "One!"))], policy)["datasets"]
    assert list(found) == ["train/a", "train/b", "evaluation/hard"]
    assert (found["train/a"]["kind"], found["train/b"]["kind"]) == ("lab", "hub")
    assert (found["train/b"]["rows"], found["train/b"]["revision"]) == (1, "abc")
    assert "revision" not in found["train/a"]
    assert found["train/a"]["ids_sha256"] != found["train/b"]["ids_sha256"]


def test_equal_questions_are_counted_but_for_space_and_case():
    trained = [problem("p", "What is  2 + 2?"), problem("r", "7+5-3=")]
    asked = benchmark(problem("q", "what is 2 + 2?\n"), problem("s", "7-5+3="))
    assert equal_questions(trained, [asked]) == {"hard": {"equal_questions": 1, "of": 2}}
    assert equal_questions(trained, []) == {}


def test_code_of_ones_own_is_told_apart_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my gate.py").write_text("A = 1\n")
    (tmp_path / "own_code_of_mine.py").write_text("A = 1\n")
    custom = {"kind": "custom", "target": "own_code_of_mine:Gate"}
    raw = CONFIG | {
        "guidance": {
            "gate": {"kind": "schedule", "inner": custom},
            "correctness": "my gate.py:same",
        },
        "rewards": [{"verifier": "my gate.py:same"}, {"verifier": "gone.py:x"}],
    }
    before = own_code(parse_config(raw))
    assert set(before) == {"gone.py", "my gate.py", "own_code_of_mine"}
    assert before["gone.py"] is None
    assert before["my gate.py"] == before["own_code_of_mine"]
    (tmp_path / "own_code_of_mine.py").write_text("A = 2\n")
    after = own_code(parse_config(raw))
    assert after["own_code_of_mine"] not in (None, before["own_code_of_mine"])
    assert own_code(parse_config(CONFIG)) == {}
