"""Columns of files that nobody described: named mappings found, others guessed with reasons."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from rephrase_rl.data.column_roles import Columns
from rephrase_rl.data.guessing import MappingGuess, guess_mapping
from rephrase_rl.errors import DataError

NUMBERS = [(f"What is {n} plus {n}?", f"First take {n}, add {n}: {2 * n}, as can be seen.", 2 * n)
           for n in range(12)]  # fmt: skip


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, header: list[str], rows: list[tuple], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def guess_of(
    tmp_path: Path, rows: list[dict], task: str | None = None, **named: str
) -> MappingGuess:
    return guess_mapping(write(tmp_path / "rows.jsonl", rows), named=named, task=task)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"question": "q?", "reference_answer": "1"}, "canonical"),
        ({"question": "q?", "answer": "One <<1=1>>1.\n#### 1"}, "gsm8k"),
        ({"problem": "p?", "answer": "1", "solution": "So it is 1."}, "math"),
        ({"problem": "p?", "solution": r"So it is \boxed{1}."}, "math"),
        (
            {"question": "q?", "options": ["A)1", "B)2"], "rationale": "r", "correct": "B"},
            "aqua",
        ),
        ({"question": "q?\n\nA) one\nB) two", "answer": "B"}, "arc"),
        ({"question": "q?", "steps": ["1 + 1 = 2"], "answer": "2"}, "mwp"),
        ({"prompt": "p?", "solution": "1", "expert_solution": "k"}, "trl"),
        (
            {
                "prompt": [{"role": "user", "content": "q?"}],
                "reward_model": {"ground_truth": "1"},
            },
            "verl",
        ),
    ],
)
def test_known_forms_are_known_by_name(tmp_path: Path, row: dict, name: str) -> None:
    assert guess_of(tmp_path, [row, row | {"extra": 1}]).mapping == name


def test_a_table_with_names_of_its_own(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", ["Nr", "Exercise Text", "Worked Solution", "Result"],
                     [(i, *row) for i, row in enumerate(NUMBERS)])  # fmt: skip
    guess = guess_mapping(path)
    assert guess.mapping == {
        "question": "Exercise Text",
        "reference_answer": "Result",
        "expert_solution": "Worked Solution",
        "append_answer": True,
    }
    assert any("'Result'" in reason for reason in guess.reasons)


def test_a_table_with_another_delimiter(tmp_path: Path) -> None:
    rows = [(question, answer, text) for question, text, answer in NUMBERS]
    path = write_csv(tmp_path / "t.csv", ["question", "result", "working"], rows, delimiter=";")
    assert guess_mapping(path).mapping["table"] == {"delimiter": ";"}


def test_what_the_user_says_is_not_overruled(tmp_path: Path) -> None:
    rows = [{"Aufgabe": q, "Weg": k, "Ergebnis": a, "answer": "7"} for q, k, a in NUMBERS]
    guess = guess_of(tmp_path, rows, question="Aufgabe", reference_answer="Ergebnis")
    assert guess.mapping["question"] == "Aufgabe"
    assert guess.mapping["reference_answer"] == "Ergebnis"
    assert "expert_solution" not in guess.mapping
    assert "you said so" in guess.reasons[0]


def test_nested_columns_and_lists_of_steps(tmp_path: Path) -> None:
    rows = [
        {"exercise": {"id": f"h{a}", "text": q}, "result": a, "teacher": [k]} for q, k, a in NUMBERS
    ]
    assert guess_of(tmp_path, rows).mapping == {
        "question": "exercise.text",
        "problem_id": "exercise.id",
        "reference_answer": "result",
        "expert_solution": "teacher",
        "expert_form": "lines",
        "append_answer": True,
    }


@pytest.mark.parametrize(
    ("rows", "fields"),
    [
        (
            [{"query": q, "choices": ["1", "2"], "label": 0, "explanation": k}
             for q, k, _ in NUMBERS],
            {"options": "choices", "default_task_kind": "choice"},
        ),
        (
            [{"query": q, "result": f"{a} %"} for q, _, a in NUMBERS],
            {"default_task_kind": "finance"},
        ),
        (
            [{"query": q, "result": ("yes", "no")[a // 2 % 2]} for q, _, a in NUMBERS],
            {"fixed_options": ["no", "yes"], "default_task_kind": "choice"},
        ),
        (
            [{"query": q, "result": chr(97 + n) * 3} for n, (q, _, _) in enumerate(NUMBERS)],
            {"default_task_kind": "text"},
        ),
        (
            [{"query": q, "output": f"So \\boxed{{{a}}}. " + k} for q, k, a in NUMBERS],
            {"boxed_answer": "output", "expert_solution": "output"},
        ),
        (
            [{"instruction": q, "output": f"{k}\n#### {a}"} for q, k, a in NUMBERS],
            {"worked_answer": "output"},
        ),
    ],
)  # fmt: skip
def test_the_task_follows_from_the_answers(tmp_path: Path, rows: list, fields: dict) -> None:
    mapping = guess_of(tmp_path, rows).mapping
    assert fields.items() <= mapping.items()


def test_a_short_solution_is_the_answer_and_a_long_one_the_expert(tmp_path: Path) -> None:
    short = guess_of(tmp_path, [{"task": q, "solution": a} for q, _, a in NUMBERS]).mapping
    assert short == {"question": "task", "reference_answer": "solution"}
    both = [{"task": q, "solution": k, "result": a} for q, k, a in NUMBERS]
    assert guess_of(tmp_path, both).mapping["expert_solution"] == "solution"


@pytest.mark.parametrize(
    ("rows", "named", "words"),
    [
        ([{"alpha": "x", "beta": "y"}], {}, "--column question=COLUMN"),
        ([{"question": "x", "beta": [1]}], {}, "--column reference_answer=COLUMN"),
        ([{"question": "x", "answer": "1"}], {"question": "nope"}, "no column 'nope'"),
        (
            [{"frage": "x", "lösung": "1"}],
            {},
            "no column for the question and no column for the checkable answer .*"
            "--column question=COLUMN --column reference_answer=COLUMN",
        ),
        ([{"question": "x", "answer": "1"}], {"answer": "answer"}, "found part 'answer'"),
    ],
)
def test_what_cannot_be_found_is_said_with_the_columns(tmp_path, rows, named, words) -> None:
    with pytest.raises(DataError, match=words):
        guess_of(tmp_path, rows, **named)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable row"):
        guess_mapping(write(tmp_path / "empty.jsonl", []))


def test_names_are_read_whatever_their_case_and_joints() -> None:
    columns = Columns([{"modelAnswer": "1", "Final-Answer": "2", "X": None}])
    assert columns.named("reference_answer") == ["Final-Answer", "modelAnswer"]
    assert columns.named("unit") == []


WORDY = [
    {"problem": q, "answer": "red" if n == 3 else str(a), "solution": k}
    for n, (q, k, a) in enumerate(NUMBERS)
]


@pytest.mark.parametrize("answer", ["", "  ", None])
def test_a_faulty_row_does_not_change_the_mapping(tmp_path: Path, answer: str | None) -> None:
    assert guess_of(tmp_path, WORDY).mapping == "math"
    rows = [row | {"answer": answer} if n == 5 else row for n, row in enumerate(WORDY)]
    guess = guess_of(tmp_path, rows)
    assert guess.mapping == "math"
    assert guess.reasons[1] == "1 of the first 12 rows do not fit it, and are faulty: 6"


def test_a_line_that_cannot_be_read_does_not_change_the_mapping(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", WORDY)
    path.write_text(path.read_text(encoding="utf-8") + "{not json\n", encoding="utf-8")
    assert guess_mapping(path).mapping == "math"


def test_a_mapping_that_reads_few_rows_is_not_taken(tmp_path: Path) -> None:
    rows = [row | {"answer": ""} if n % 5 == 0 else row for n, row in enumerate(WORDY)]
    mapping = guess_of(tmp_path, rows).mapping
    assert isinstance(mapping, dict)
    assert mapping["question"] == "problem"


def test_a_mapping_that_reads_all_rows_comes_before_one_that_reads_most(tmp_path: Path) -> None:
    rows = [row | {"question": "q?", "reference_answer": "7"} for row in WORDY]
    assert guess_of(tmp_path, rows).mapping == "math"
    rows[4] |= {"answer": ""}
    assert guess_of(tmp_path, rows).mapping == "canonical"


def test_blank_experts_are_no_faults_of_a_known_mapping(tmp_path: Path) -> None:
    rows = [row | {"solution": ""} if n == 5 else row for n, row in enumerate(WORDY)]
    guess = guess_of(tmp_path, rows)
    assert guess.mapping == {"like": "math", "expert_form": "text_or_blank"}
    assert "their problems train without them" in guess.reasons[1]


def test_blank_answers_say_nothing_about_the_task(tmp_path: Path) -> None:
    # 9 of 10 answers that are there are numbers.
    answers = ["red", "", *map(str, range(9))]
    rows = [{"task": q, "result": a} for (q, _, _), a in zip(NUMBERS, answers, strict=False)]
    assert "default_task_kind" not in guess_of(tmp_path, rows).mapping
    rows[-1] |= {"result": "blue"}
    guess = guess_of(tmp_path, rows)
    assert guess.mapping["default_task_kind"] == "text"
    told = "2 of 10 answers are words, the others mathematics: all are compared as texts; for "
    assert guess.reasons[-1].startswith(told)
    assert "init --task KIND" in guess.reasons[-1]


def test_a_few_words_among_numbers_are_told_and_the_users_task_is_taken(tmp_path: Path) -> None:
    answers = ["red", *map(str, range(10))]
    rows = [{"task": f"{i}?", "result": a} for i, a in enumerate(answers)]
    guess = guess_of(tmp_path, rows)
    assert "default_task_kind" not in guess.mapping
    assert (
        "1 of 11 answers are words, the others mathematics: all are compared as mathematics"
        in (guess.reasons[-1])
    )
    for task in ("text", "finance"):
        guess = guess_of(tmp_path, rows, task=task)
        assert guess.mapping["default_task_kind"] == task
        assert guess.reasons[-1] == f"the task is {task}: you said so"
        assert not any("are compared" in reason for reason in guess.reasons)
    with pytest.raises(DataError, match="found no options"):
        guess_of(tmp_path, rows, task="choice")
    few = [{"task": f"{i}?", "result": "yes" if i % 2 else "no"} for i in range(10)]
    assert guess_of(tmp_path, few).mapping["fixed_options"] == ["no", "yes"]
    assert guess_of(tmp_path, few, task="choice").mapping["fixed_options"] == ["no", "yes"]
    assert guess_of(tmp_path, few, task="text").mapping == {
        "question": "task", "reference_answer": "result", "default_task_kind": "text",
    }  # fmt: skip
    named = [{"question": q, "answer": f"{k}\n#### {a}"} for q, k, a in NUMBERS]
    assert guess_of(tmp_path, named, task="finance").mapping == {
        "like": "gsm8k", "default_task_kind": "finance",
    }  # fmt: skip


@pytest.mark.parametrize("amount", ["12", "30 %", "$4"])
def test_prose_with_a_number_in_it_is_no_mathematics(tmp_path: Path, amount) -> None:
    answer = f"The pump cavitates above {amount} because its inlet pressure falls too far."
    rows = [{"task": f"Why does pump {i} stop?", "result": answer} for i in range(10)]
    assert guess_of(tmp_path, rows).mapping["default_task_kind"] == "text"
    short = [{"task": f"{i}?", "result": r"$\text{about three dozen} = 36$"} for i in range(10)]
    assert guess_of(tmp_path, short).mapping.get("default_task_kind") != "text"


def test_an_experts_column_is_found_by_that_name_and_one_without_a_known_name_is_told(
    tmp_path: Path,
) -> None:
    rows = [{"question": q, "answer": a, "expert": k * 3} for q, k, a in NUMBERS]
    assert guess_of(tmp_path, rows).mapping["expert_solution"] == "expert"
    other = [{"question": q, "answer": a, "how to": k * 3} for q, k, a in NUMBERS]
    guess = guess_of(tmp_path, other)
    assert "expert_solution" not in guess.mapping
    (told,) = [reason for reason in guess.reasons if "no column is called like" in reason]
    assert told.endswith("--column expert_solution='how to'")


@pytest.mark.parametrize("text", ["", "no last line"])
def test_one_text_without_a_last_line_does_not_hide_the_answers(tmp_path, text) -> None:
    rows = [{"instruction": q, "output": f"{k}\n#### {a}"} for q, k, a in NUMBERS]
    rows[7] |= {"output": text}
    assert guess_of(tmp_path, rows).mapping["worked_answer"] == "output"


def test_blank_texts_do_not_count_among_worked_ones(tmp_path: Path) -> None:
    rows = [{"instruction": q, "output": f"{k}\n#### {a}"} for q, k, a in NUMBERS]
    rows[7:9] = [row | {"output": ""} for row in rows[7:9]]  # more than one in ten
    assert guess_of(tmp_path, rows).mapping["worked_answer"] == "output"
