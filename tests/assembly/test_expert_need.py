"""A method that learns from expert solutions is not run where there is none."""

import json

import pytest

from rephrase_rl.assembly.dry_running import dry_run
from rephrase_rl.assembly.problems import training_problems
from rephrase_rl.config import parse_config
from rephrase_rl.errors import DataError
from rephrase_rl.methods import resolve_config

BARE = [{"question": f"{i} + 1?", "reference_answer": str(i + 1)} for i in range(4)]
TAUGHT = [{**row, "expert_solution": "Count on."} for row in BARE]


def config_of(tmp_path, *sets, method="repo", **data):
    written = []
    for number, rows in enumerate(sets):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        written.append({"name": f"set{number}", "path": str(path)})
    written[-1] |= data
    return parse_config(
        {"method": method, "model": {"path": "lab:base"}, "data": written, "output_dir": "o"}
    )


@pytest.mark.parametrize("method", ["repo", "luffy", "guide", "sft", "rewrite_sft"])
def test_without_an_expert_solution_nothing_is_run(tmp_path, method) -> None:
    config = config_of(tmp_path, BARE, method=method)
    said = f"none of the 4 problems has an expert solution, which method '{method}' learns from"
    with pytest.raises(DataError, match=said):
        training_problems(resolve_config(config))
    with pytest.raises(DataError, match=said):
        dry_run(config)


@pytest.mark.parametrize("method", ["grpo", "star"])
def test_other_methods_need_none(tmp_path, method) -> None:
    assert training_problems(resolve_config(config_of(tmp_path, BARE, method=method)))


def test_one_is_enough(tmp_path) -> None:
    assert training_problems(resolve_config(config_of(tmp_path, [*BARE[1:], TAUGHT[0]])))


def test_experts_of_a_set_that_is_never_guided_do_not_count(tmp_path) -> None:
    bare = [{**row, "question": f"set 0: {row['question']}"} for row in BARE]
    sets = ([{**row, "problem_id": f"a{i}"} for i, row in enumerate(bare)], TAUGHT)
    assert training_problems(resolve_config(config_of(tmp_path, *sets)))
    with pytest.raises(DataError, match="none of the 4 problems"):
        training_problems(resolve_config(config_of(tmp_path, *sets, gate={"kind": "never"})))
