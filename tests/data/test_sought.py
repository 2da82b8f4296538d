"""Columns that a mapping requires and no row has."""

import pytest

from rephrase_rl.data import load_problems, scan_problems
from rephrase_rl.data.faults import BadRow
from rephrase_rl.data.mappings import ColumnMapping
from rephrase_rl.errors import DataError
from rephrase_rl.records import Problem

ROWS = '{"q": "1 + 1?", "a": "2"}\n{"q": "1 + 2?", "a": "3", "work": {"text": "k"}}\n'


def mapping(**named) -> ColumnMapping:
    return ColumnMapping("mine", ("q",), reference_answer="a", **named)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "two.jsonl"
    path.write_text(ROWS)
    return path


def test_a_column_of_one_row_is_enough(file) -> None:
    required = ("a", "work.text", "work")
    problems = load_problems(file, mapping=mapping(expert_solution="work.text", required=required))
    assert [problem.expert_solution for problem in problems] == [None, "k"]


def test_a_misspelt_column_is_a_fault_of_the_last_row(file) -> None:
    columns = mapping(expert_solution="wrok", required=("wrok", "a"))
    first, last = scan_problems(file, mapping=columns)
    assert isinstance(first, Problem)
    assert isinstance(last, BadRow)
    assert last.number == 2
    (fault,) = last.faults
    assert str(fault) == (
        "row 2, column 'wrok' of the mapping: in none of 2 rows, whose columns are q, a, work; did "
        "you mean 'work'? name a column that is there, or leave it out of the mapping"
    )
    with pytest.raises(DataError, match=r"did you mean 'work'\?"):
        load_problems(file, mapping=columns)


def test_it_stands_beside_other_faults_of_that_row(file) -> None:
    file.write_text('{"q": "1 + 1?", "a": "2"}\n{"q": "", "a": "3"}\n')
    *_, last = scan_problems(file, mapping=mapping(required=("k",)))
    assert [fault.where for fault in last.faults] == ["column 'q'", "column 'k' of the mapping"]


def test_null_is_there_and_what_is_not_required_may_be_absent(file) -> None:
    file.write_text('{"q": "1 + 1?", "a": "2", "k": null}\n')
    assert load_problems(file, mapping=mapping(expert_solution="k", required=("k",)))
    assert load_problems(file, mapping=mapping(expert_solution="wrok"))


def test_of_rows_that_cannot_be_read_nothing_is_said(file) -> None:
    file.write_text("{\n")
    (only,) = scan_problems(file, mapping=mapping(required=("k",)))
    assert len(only.faults) == 1


def test_questions_within_a_row_are_looked_into(file) -> None:
    file.write_text('{"items": [{"q": "1 + 1?", "a": "2", "k": "t"}]}\n')
    named = mapping(rows_in="items", expert_solution="k", required=("k", "a"))
    assert load_problems(file, mapping=named)[0].expert_solution == "t"
