"""Problems written as Parquet come back as the same problems."""

from __future__ import annotations

import dataclasses

import pytest

from fakes import problem
from rephrase_rl.data import load_problems
from rephrase_rl.data.writing import canonical_row, write_parquet
from rephrase_rl.errors import DataError

TURNS = ({"role": "system", "content": "s"}, {"role": "user", "content": "q"})


def there_and_back(tmp_path, problems):
    path = tmp_path / "p.parquet"
    write_parquet(path, [canonical_row(item) for item in problems])
    return load_problems(path)


def test_problems_come_back(tmp_path) -> None:
    problems = [
        problem("a", metadata={"level": 1, "tags": ["x", "y"], "more": {"deep": 0.5}}),
        problem(
            "b", expert_solution="k\nκ", metadata={"level": 2, "tags": [], "more": {"deep": 1.0}}
        ),
    ]
    assert there_and_back(tmp_path, problems) == problems


def test_without_metadata_and_without_experts(tmp_path) -> None:
    problems = [problem("a", expert_solution=None), problem("b", expert_solution=None)]
    assert there_and_back(tmp_path, problems) == problems


def test_conversations_come_back(tmp_path) -> None:
    turns = [dataclasses.replace(problem(name), messages=TURNS) for name in "ab"]
    assert there_and_back(tmp_path, turns) == turns
    mixed = [turns[0], problem("c", question="plain")]
    assert there_and_back(tmp_path, mixed) == mixed


def test_keys_of_several_types_become_text(tmp_path) -> None:
    problems = [
        problem("a", metadata={"level": 1, "empty": {}, "x": None}),
        problem("b", metadata={"level": "two", "only": True}),
    ]
    first, second = there_and_back(tmp_path, problems)
    assert first.metadata == {"level": "1", "empty": "{}", "only": None}
    assert second.metadata == {"level": '"two"', "empty": None, "only": True}


def test_a_column_of_several_types_is_refused_and_the_old_file_stays(tmp_path) -> None:
    path = tmp_path / "p.parquet"
    write_parquet(path, [{"a": 1}])
    before = path.read_bytes()
    with pytest.raises(DataError, match="'a'"):
        write_parquet(path, [{"a": 1}, {"a": "one"}])
    assert path.read_bytes() == before
