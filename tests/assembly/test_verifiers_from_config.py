"""Verifiers as a configuration names them, and the columns that reach them in training."""

from __future__ import annotations

import pytest

from fakes import problem
from rephrase_rl.assembly.objects import build_verifiers
from rephrase_rl.assembly.training import training_dataset
from rephrase_rl.config import RewardConfig, parse_config
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.rewards import FunctionVerifier

CONFIG = parse_config(
    {
        "method": "grpo",
        "model": {"path": "lab:base"},
        "data": {"path": "lab:hard"},
        "prompts": {"solve": "lab-solve-v1"},
    }
)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("math", "math"),
        ("lab", "exact"),
        ("choice", "choice"),
        ("finance", "number"),
        ("text", "text_exact"),
    ],
)
def test_every_task_kind_has_its_verifier(kind, name) -> None:
    ((verifier, weight),) = build_verifiers((), [problem("a", task_kind=kind)])
    assert (verifier.name, weight) == (name, 1.0)
    verifier.close()


def test_a_task_kind_without_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task kind 'chess'.*name one under `rewards`"):
        build_verifiers((), [problem("a", task_kind="chess")])


def test_a_composite_with_a_function_of_the_users_own(tmp_path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(
        "def short(completion, answer, limit=9):\n    return len(completion) < limit\n"
    )
    reward = RewardConfig(
        verifier="gated",
        options={
            "gate": "exact",
            "then": {
                "verifier": "all_of",
                "options": {
                    "verifiers": [
                        {"verifier": f"{module}:short", "options": {"limit": 4}},
                        {"verifier": "format", "options": {"pattern": "^[0-9]"}},
                    ]
                },
            },
            "share": 0.5,
            "name": "whole",
        },
    )
    ((verifier, _),) = build_verifiers([reward], [])
    assert verifier.name == "whole"
    found = verifier.verify(["1#2", "12345#2", "x#2", "1#3"], ["2"] * 4)
    assert [verdict.value for verdict in found] == [1.0, 0.5, 0.5, 0.0]


def test_a_single_function_is_still_one(tmp_path) -> None:
    module = tmp_path / "single.py"
    module.write_text("def one(completion, answer):\n    return 1\n")
    ((verifier, _),) = build_verifiers([RewardConfig(verifier=f"{module}:one")], [])
    assert isinstance(verifier, FunctionVerifier)


def test_columns_that_verifiers_ask_for_come_from_the_metadata() -> None:
    problems = [
        problem("a", metadata={"options": ["cat", "dog"], "level": 3}),
        problem("b", metadata={"level": 4}),
    ]
    dataset = training_dataset(problems, CONFIG, ("options", "completion_ids", "question"))
    assert dataset["options"][:] == [["cat", "dog"], None]
    assert dataset["question"][:] == [one.question for one in problems]
    assert {"level", "completion_ids"}.isdisjoint(dataset.column_names)
    assert "options" not in training_dataset(problems, CONFIG).column_names


def test_metadata_that_makes_no_column_is_refused() -> None:
    problems = [problem("a", metadata={"options": ["x"]}), problem("b", metadata={"options": {}})]
    with pytest.raises(DataError, match=r"metadata options.*the same type in every problem"):
        training_dataset(problems, CONFIG, ("options",))
