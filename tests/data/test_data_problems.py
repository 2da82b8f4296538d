"""Rows to Problems: mappings, checks, and one error for everything."""

import datetime
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.data import (
    BadRowsError,
    ColumnMapping,
    data_fingerprint,
    get_mapping,
    load_problems,
    mapping_names,
    problems_from_rows,
)
from rephrase_rl.data.faults import RowFault, grouped
from rephrase_rl.errors import DataError
from rephrase_rl.records import Problem

GOOD = {"question": "1+1?", "reference_answer": "2"}


def load(*rows, mapping="canonical"):
    columns = get_mapping(mapping) if isinstance(mapping, str) else mapping
    return problems_from_rows(enumerate(rows, start=1), columns, source_name="set/train")


def faults_of(*rows, mapping="canonical"):
    with pytest.raises(DataError) as caught:
        load(*rows, mapping=mapping)
    return caught.value.faults


def test_a_minimal_row():
    assert load(GOOD) == [
        Problem("set/train-1", ({"role": "user", "content": "1+1?"},), reference_answer="2")
    ]


def test_a_full_row():
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "1+1?"}]
    row = {
        "problem_id": "a", "messages": turns, "expert_solution": "It is 2.", "reference_answer": 2,
        "task_kind": "lab", "metadata": {"level": 3}, "topic": "sums",
        "day": datetime.date(2026, 1, 2), "tags": ["x", {"y": None}],
    }  # fmt: skip
    assert load(row) == [
        Problem(
            "a",
            tuple(turns),
            reference_answer="2",
            expert_solution="It is 2.",
            task_kind="lab",
            metadata={"level": 3, "topic": "sums", "day": "2026-01-02", "tags": ["x", {"y": None}]},
        )
    ]


def test_null_is_as_good_as_absent():
    row = {**GOOD, "expert_solution": None, "problem_id": None, "metadata": None, "messages": None}
    assert load(row) == load(GOOD)


def test_keys_that_arrow_fills_with_null_are_no_fault():
    turn = {"role": "user", "content": "1+1?", "tool_calls": None}
    assert load({"messages": [turn], "reference_answer": "2"}) == load(GOOD)


def test_a_whole_number_is_an_id():
    assert load({**GOOD, "problem_id": 7})[0].problem_id == "7"


def test_trl_rows():
    turns = [{"role": "user", "content": "q"}]
    text, chat = load(
        {"prompt": "q", "solution": "2"}, {"prompt": turns, "solution": 2.5}, mapping="trl"
    )
    assert (text.question, text.reference_answer, text.expert_solution) == ("q", "2", None)
    assert (chat.messages, chat.reference_answer) == (tuple(turns), "2.5")
    with_expert = load({"prompt": "q", "solution": "2", "expert_solution": "k"}, mapping="trl")
    assert with_expert[0].expert_solution == "k"


def test_gsm8k_rows():
    problem = load({"question": "q", "answer": "5*2=<<5*2=10>>10\n#### 1,0"[:-3] + "10"},
                   mapping="gsm8k")[0]  # fmt: skip
    assert problem.reference_answer == "10"
    assert problem.expert_solution == "5*2=10\nThe final answer is \\boxed{10}."
    assert problem.metadata == {}


def test_an_own_mapping():
    mapping = ColumnMapping(
        "mine", question=("problem",), reference_answer="answer", expert_solution="solution",
        default_task_kind="finance",
    )  # fmt: skip
    problem = load({"problem": "q", "answer": "1", "solution": "k", "level": 5}, mapping=mapping)[0]
    assert (problem.question, problem.reference_answer) == ("q", "1")
    assert (problem.expert_solution, problem.task_kind) == ("k", "finance")
    assert problem.metadata == {"level": 5}


TURN = {"role": "user", "content": "q"}
# (id, row, column, part of what was found, part of the remedy)
FAULTS = [
    ("no_question", {"reference_answer": "2"}, "question", "no question", "or 'messages'"),
    ("empty_question", {**GOOD, "question": " "}, "question", "empty question", "write the"),
    ("two_questions", {**GOOD, "messages": [TURN]}, "messages", "both filled", "one of them"),
    ("number_question", {**GOOD, "question": 5}, "question", "int 5", "a string or a list"),
    ("no_turns", {**GOOD, "question": []}, "question", "list []", "a string or a list"),
    ("turn_is_text", {**GOOD, "question": ["q"]}, "question", "turn 0 is str", "'role'"),
    (
        "bad_role",
        {**GOOD, "question": [{"role": "bot", "content": "q"}]},
        "question",
        "'bot'",
        "use",
    ),
    ("no_content", {**GOOD, "question": [{"role": "user"}]}, "question", "nothing", "not empty"),
    ("extra", {**GOOD, "question": [{**TURN, "image": 1}]}, "question", "image", "only role and"),
    (
        "last_turn",
        {**GOOD, "question": [TURN, {"role": "assistant", "content": "a"}]},
        "question",
        "assistant's",
        "end with the user",
    ),
    ("no_answer", {"question": "q", "answer": "2"}, "reference_answer", "no such column", "give"),
    ("null_answer", {**GOOD, "reference_answer": None}, "reference_answer", "nothing", "give the"),
    ("empty_answer", {**GOOD, "reference_answer": ""}, "reference_answer", "empty text", "give"),
    ("bool_answer", {**GOOD, "reference_answer": True}, "reference_answer", "bool", "as a number"),
    ("nan_answer", {**GOOD, "reference_answer": float("nan")}, "reference_answer", "nan", "give"),
    ("list_answer", {**GOOD, "reference_answer": ["2"]}, "reference_answer", "list", "give"),
    ("empty_expert", {**GOOD, "expert_solution": ""}, "expert_solution", "empty text", "or null"),
    ("number_expert", {**GOOD, "expert_solution": 5}, "expert_solution", "int 5", "or null"),
    ("bad_id", {**GOOD, "problem_id": 1.5}, "problem_id", "float 1.5", "whole number"),
    ("bad_kind", {**GOOD, "task_kind": " "}, "task_kind", "empty text", "leave the column out"),
    ("bad_metadata", {**GOOD, "metadata": "x"}, "metadata", "str 'x'", "a mapping"),
    ("clash", {**GOOD, "metadata": {"a": 1}, "a": 2}, "a", "same key", "rename"),
    ("bytes", {**GOOD, "image": b"x"}, "image", "bytes", "remove the column"),
    ("typo", {**GOOD, "expert_soluton": "k"}, "expert_soluton", "'expert_solution'", "rename"),
]


@pytest.mark.parametrize(
    ("row", "column", "found", "remedy"), [c[1:] for c in FAULTS], ids=[c[0] for c in FAULTS]
)
def test_fault(row, column, found, remedy):
    faults = faults_of(GOOD, row)
    assert len(faults) == 1
    assert faults[0].startswith(f"row 2, column {column!r}: ")
    assert found in faults[0]
    assert remedy in faults[0].split("; ", 1)[1]


def test_gsm8k_faults():
    rows = [{"question": "q", "answer": "5"}, {"question": "q"}]
    first, second = faults_of(*rows, mapping="gsm8k")
    assert first.startswith("row 1, column 'answer': no last line '#### N'; end the worked")
    assert second.startswith("row 2, column 'answer': nothing; end the worked")


def test_a_mapping_without_an_answer():
    mapping = ColumnMapping("none", reference_answer=None)
    assert "names no column for it" in faults_of(GOOD, mapping=mapping)[0]


def test_every_fault_of_every_row_is_reported():
    faults = faults_of(
        {"reference_answer": ""}, GOOD, {**GOOD, "expert_solution": 1, "problem_id": []}
    )
    assert [fault.split(":")[0] for fault in faults] == [
        "row 1, column 'question'",
        "row 1, column 'reference_answer'",
        "row 3, column 'expert_solution'",
        "row 3, column 'problem_id'",
    ]


def test_repeated_ids_are_faults():
    rows = [{**GOOD, "problem_id": name} for name in ("a", "b", "a", "a")]
    first, second = faults_of(*rows)
    assert first.startswith("row 3, column 'problem_id': 'a' is also row 1's")
    assert second.startswith("row 4, column 'problem_id': 'a' is also row 1's")


def test_the_printed_list_is_capped_and_the_faults_are_not():
    with pytest.raises(BadRowsError) as caught:
        load(*[{}] * 60)
    error = caught.value
    assert len(error.faults) == 120
    lines = str(error).splitlines()
    assert len(lines) == 52
    assert lines[-1].startswith("  ... and 70 more, in the exception's .faults")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (just pickled)
    assert (copy.faults, str(copy)) == (error.faults, str(error))


def test_broken_lines_and_bad_rows_come_in_one_error(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(GOOD) + "\n{broken\n" + json.dumps({"question": "q"}) + "\n")
    with pytest.raises(DataError) as caught:
        load_problems(path)
    assert [fault.split(",")[0] for fault in caught.value.faults] == ["row 2", "row 3"]


def test_equal_faults_are_told_once_with_all_their_rows():
    faults = [RowFault(row, "column 'a'", "nothing", "give it") for row in (1, 2, 3, 7, 9, 10)]
    faults.insert(2, RowFault(2, "column 'b'", "nothing", "give it"))
    assert grouped(faults) == [
        "rows 1-3, 7, 9-10, column 'a': nothing; give it",
        "row 2, column 'b': nothing; give it",
    ]
    assert grouped([]) == []


def test_load_problems(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({**GOOD, "question": f"q{i}"}) + "\n" for i in range(5)))
    problems = load_problems(path, limit=3)
    assert [p.question for p in problems] == ["q0", "q1", "q2"]
    assert problems[2].problem_id == f"{tmp_path.name}/rows-3"
    assert load_problems(path, mapping=get_mapping("canonical"), limit=3) == problems


def test_no_rows_and_unknown_mappings(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n")
    with pytest.raises(DataError, match="has no rows"):
        load_problems(path)
    with pytest.raises(DataError, match="'gsm'; required: one of canonical, gsm8k, trl"):
        load_problems(path, mapping="gsm")
    assert mapping_names() == (
        "canonical", "gsm8k", "trl", "verl", "openr1_math", "super_gpqa", "mmlu_pro", "math",
        "aqua", "ecqa", "arc", "tatqa", "pubmedqa", "pubmedqa_text", "mwp",
    )  # fmt: skip


def test_the_fingerprint_sees_every_field_and_the_order():
    base = load(
        {**GOOD, "problem_id": "a", "metadata": {"x": 1, "y": 2}}, {**GOOD, "question": "q"}
    )
    same = load(
        {**GOOD, "problem_id": "a", "metadata": {"y": 2, "x": 1}}, {**GOOD, "question": "q"}
    )
    assert data_fingerprint(base) == data_fingerprint(same)
    others = [base[::-1], base[:1], []]
    for change in (
        {"problem_id": "b"}, {"question": "r"}, {"reference_answer": "3"},
        {"expert_solution": "k"}, {"task_kind": "lab"}, {"metadata": {"x": 1, "y": 3}},
    ):  # fmt: skip
        row = {**GOOD, "problem_id": "a", "metadata": {"x": 1, "y": 2}, **change}
        others.append(load(row, {**GOOD, "question": "q"}))
    prints = {data_fingerprint(other) for other in [base, *others]}
    assert len(prints) == len(others) + 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
COLUMNS = st.sampled_from(
    ["question", "messages", "reference_answer", "expert_solution", "problem_id", "metadata", "x"]
)


@given(st.lists(st.dictionaries(COLUMNS, JSON_VALUES, max_size=5), max_size=4))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_any_row_gives_problems_or_a_data_error_and_none_is_lost(rows):
    try:
        problems = load(*rows)
    except DataError as error:
        num_faults = len(error.faults)
    else:
        num_faults = 0
        assert len(problems) == len(rows)
        data_fingerprint(problems)
    good_rows = sum("question" in row or "messages" in row for row in rows)
    assert num_faults or good_rows == len(rows)
