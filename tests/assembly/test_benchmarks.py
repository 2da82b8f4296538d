"""Declared benchmarks on small files laid out like the real ones, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rephrase_rl.assembly.benchmarks import benchmark_template, load_benchmarks
from rephrase_rl.assembly.objects import build_judge
from rephrase_rl.config import PromptsConfig, benchmark_names, parse_benchmarks
from rephrase_rl.errors import ConfigError, DataError, PromptError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rewards.context import context_of, verify_in_context

AIME = {"id": 1, "problem": "Find n.", "solution": "It is 25.", "answer": "025", "url": "u"}
CHOICES = {"question": "Which?", "options": ["x", "y", "z"], "answer": "B"}
REPORT = {
    "id": "AAPL/1",
    "pre_text": ["Sales rose."],
    "post_text": ["."],
    "table": [["", "2019"], ["Sales", "5"]],
}
ROWS = {
    "aime24": [AIME],
    "aime25": [AIME],
    "amc23": [
        {"id": 0, "problem": "Find n.", "answer": 25.0, "url": "u", "question": "Find n."},
        {"id": 0, "question": "Find n.", "answer": "25", "url": "u"},
    ],
    "amc83": [AIME],
    "math500": [
        {
            **{"problem": "Find n.", "solution": r"\boxed{25}", "answer": "25"},
            **{"subject": "Algebra", "level": 2, "unique_id": "test/1"},
        }
    ],
    "minerva": [
        {"question": "Find n.", "answer": "25"},
        {"problem": "Find n.", "solution": r"So \boxed{25}.", "type": "x", "idx": 0},
    ],
    "olympiadbench": [
        {
            **{"id": 7, "question": "Find n.", "context": None, "final_answer": ["25"]},
            **{"subfield": "Algebra", "difficulty": "Competition", "is_multiple_answer": False},
        }
    ],
    "gpqa_diamond": [
        {
            **{"Question": "Which?", "Correct Answer": "y", "Incorrect Answer 1": "x"},
            **{"Incorrect Answer 2": "z", "Incorrect Answer 3": "w", "Record ID": "r1"},
            **{"High-level domain": "Physics", "Writer's Difficulty Estimate": "Hard"},
        }
    ],
    "mmlu_pro": [{**CHOICES, "question_id": 1, "category": "law", "cot_content": ""}],
    "super_gpqa": [
        {
            **{"uuid": "u", "question": "Which?", "options": ["x", "y"], "answer": "y"},
            **{"answer_letter": "B", "discipline": "Law", "difficulty": "hard"},
        }
    ],
    "arc_challenge": [
        {
            **{"id": "a", "question": "Which?", "answerKey": "2"},
            "choices": {"text": ["x", "y"], "label": ["1", "2"]},
        },
        {"source": "arc_c", "question": "Which?\n\nA) x\nB) y\n", "answer": "B"},
    ],
    "gsm8k": [{"question": "Find n.", "answer": "5 * 5 = <<5*5=25>>25\n#### 25"}],
    "finqa": [
        {**REPORT, "qa": {"question": "By how much?", "answer": "25%", "exe_ans": 0.25}},
        {
            **REPORT,
            "id": "AAPL/2",
            "qa": {"question": "Did it?", "answer": "yes", "exe_ans": "yes"},
        },
    ],
    "convfinqa": [
        {
            **REPORT,
            "annotation": {"dialogue_break": ["Sales?", "And then?"], "exe_ans_list": [5, 0.25]},
        }
    ],
    "tatqa": [
        {
            "table": {"uid": "t", "table": [["", "2019"], ["Sales", "5"]]},
            "paragraphs": [{"order": 1, "text": "Sales rose."}],
            "questions": [
                {
                    **{"uid": "q1", "question": "By how much?", "answer": 25, "scale": "percent"},
                    "answer_type": "arithmetic",
                },
                {
                    **{"uid": "q2", "question": "Which?", "answer": ["Sales", "Costs"]},
                    **{"scale": "", "answer_type": "multi-span"},
                },
            ],
        }
    ],
}
CASES = [(name, index) for name, rows in ROWS.items() for index in range(len(rows))]


def benchmark(name: str, path: Path | str, *changes: str):
    (found,) = parse_benchmarks([name], [f"data.path={path}", *changes])
    return found


def written(folder: Path, rows: list, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(config):
    (loaded,) = load_benchmarks([config])
    return loaded


def verdicts(config, problem, *texts: str) -> list[float]:
    verifier = build_judge(config.judge, [problem])
    try:
        asked = [problem] * len(texts)
        found = verify_in_context(
            verifier, texts, [p.reference_answer for p in asked], context_of(verifier, asked, {})
        )
    finally:
        verifier.close()
    return [verdict.reward for verdict in found]


def test_every_benchmark_but_the_labs_is_tried() -> None:
    assert {*ROWS, "lab_hard", "lab_general"} == set(benchmark_names())


@pytest.mark.parametrize(("name", "index"), CASES)
def test_a_row_of_each_layout_is_asked_and_judged(name, index, tmp_path) -> None:
    config = benchmark(name, written(tmp_path, [ROWS[name][index]]), "subset=true")
    loaded = load(config)
    for problem in loaded.problems:
        template = benchmark_template(config, problem, PromptsConfig())
        (turn,) = render_prompt(problem, template)
        assert problem.question in turn["content"]
        right = problem.reference_answer
        assert verdicts(config, problem, f"So \\boxed{{{right}}}", r"So \boxed{17}") == [1, 0]
        for key in (config.subject, config.difficulty):
            if key is not None and index == 0:
                assert key in problem.metadata
    assert loaded.data["subset"].startswith(f"{len(loaded.problems)} of {config.expected_rows}")
    assert loaded.data["columns"] == sorted(ROWS[name][index])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gpqa_diamond", "Because.\nAnswer: $"),
        ("mmlu_pro", "the answer is ($)"),
        ("super_gpqa", "Answer: $"),
    ],
)
def test_choices_are_judged_in_the_form_that_is_asked_for(name, text, tmp_path) -> None:
    config = benchmark(name, written(tmp_path, ROWS[name]), "subset=true")
    (problem,) = load(config).problems
    right, wrong = problem.reference_answer, "A" if problem.reference_answer != "A" else "B"
    assert verdicts(config, problem, text.replace("$", right), text.replace("$", wrong)) == [1, 0]


def test_gsm8k_takes_the_stated_answer_and_the_last_number(tmp_path) -> None:
    config = benchmark("gsm8k", written(tmp_path, ROWS["gsm8k"]), "subset=true")
    (problem,) = load(config).problems
    texts = ("5 * 5 = 25\n#### 25", "The answer is 25.", "so there are 25 apples", "#### 24")
    assert verdicts(config, problem, *texts) == [1, 1, 1, 0]


def test_finance_answers_are_numbers_or_words(tmp_path) -> None:
    config = benchmark("finqa", written(tmp_path, ROWS["finqa"]), "subset=true")
    number, word = load(config).problems
    assert verdicts(config, number, r"\boxed{25\%}", r"\boxed{0.25}", r"\boxed{2}") == [1, 1, 0]
    assert verdicts(config, word, r"\boxed{yes}", r"\boxed{no}") == [1, 0]
    assert "Sales | 5" in number.question
    assert number.question.endswith("By how much?")


def test_a_conversation_is_asked_for_its_last_answer(tmp_path) -> None:
    config = benchmark("convfinqa", written(tmp_path, ROWS["convfinqa"]), "subset=true")
    (problem,) = load(config).problems
    assert problem.question.endswith("Sales?\n\nAnd then?\n\nAnd then?")
    assert problem.reference_answer == "0.25"


def test_another_number_of_problems_is_refused_and_a_part_is_stated(tmp_path) -> None:
    rows = [{**AIME, "id": i, "problem": f"Find {i}."} for i in range(29)]
    path = written(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        load(benchmark("aime24", path))
    for part in ("holds 29 problems; required: 30", "subset=true", "huggingface.co"):
        assert part in str(caught.value)
    assert load(benchmark("aime24", path, "subset=true")).data["subset"] == (
        "29 of 30 problems (the source has 29)"
    )
    # A limit is a part that is meant; of a source read only so far, too.
    whole = written(tmp_path, [*rows, {**AIME, "id": 29, "problem": "Find 29."}], "whole.jsonl")
    assert load(benchmark("aime24", whole)).data["subset"] is None
    assert load(benchmark("aime24", whole, "limit=3")).data["subset"] == "3 of 30 problems"
    limited = load(benchmark("aime24", whole, "data.limit=3"))
    assert (len(limited.problems), limited.data["rows"]) == (3, 3)
    assert limited.data["subset"] == "3 of 30 problems (the source has 3)"


def test_other_columns_are_refused_with_those_that_each_layout_lacks(tmp_path) -> None:
    path = written(tmp_path, [{"question": "Which?", "choices": ["x", "y"], "answer": "A"}])
    with pytest.raises(DataError) as caught:
        load(benchmark("arc_challenge", path, "subset=true"))
    text = str(caught.value)
    assert "has the columns answer, choices, question" in text
    assert "no id, answerKey" in text
    assert "no source" in text
    # With a mapping of one's own the layouts are not asked.
    mapping = "data.mapping={options: choices, reference_answer: answer, default_task_kind: choice}"
    (problem,) = load(benchmark("arc_challenge", path, "subset=true", mapping)).problems
    assert problem.reference_answer == "A"


def test_a_missing_source_says_where_it_comes_from(tmp_path) -> None:
    with pytest.raises(DataError, match=r"finqa, from https://github\.com/czyssrs/FinQA"):
        load(benchmark("finqa", tmp_path / "absent.json"))
    with pytest.raises(DataError, match=r"aime24, from https://huggingface\.co.*empty"):
        load(benchmark("aime24", written(tmp_path, [], "empty.jsonl")))


@pytest.mark.parametrize("name", ["lab_hard", "lab_general"])
def test_the_labs_benchmarks_need_no_file(name) -> None:
    (config,) = parse_benchmarks([name])
    loaded = load(config)
    assert len(loaded.problems) == 200
    assert loaded.data["subset"] is None
    assert {config.subject, config.difficulty} <= set(loaded.problems[0].metadata)


def test_benchmarks_without_a_declared_number_take_any(tmp_path) -> None:
    path = written(tmp_path, [{"question": "1+1", "reference_answer": "2"}])
    (config,) = parse_benchmarks([{"name": "mine", "data": {"path": str(path)}}])
    loaded = load(config)
    assert loaded.data["subset"] is None
    assert loaded.data["expected_rows"] is None
    assert len(loaded.data["sha256"]) == 64


def test_the_benchmarks_own_prompt_comes_before_the_runs() -> None:
    (hard,) = parse_benchmarks([{"like": "lab_hard", "limit": 1}])
    (problem,) = load(hard).problems
    think = PromptsConfig(solve="math-solve-v1")
    assert benchmark_template(hard, problem, think).template_id == "lab-solve-v1"
    (free,) = parse_benchmarks([{"like": "lab_hard", "prompt": None}])
    assert benchmark_template(free, problem, think).template_id == "math-solve-v1"
    text = {"text": "Q: {question}", "system": "S"}
    (own,) = parse_benchmarks([{"like": "lab_hard", "prompt": text}])
    template = benchmark_template(own, problem, think)
    assert template.template_id.startswith("lab_hard-solve-")
    assert render_prompt(problem, template)[0] == {"role": "system", "content": "S"}
    (other,) = parse_benchmarks([{"like": "lab_hard", "prompt": {**text, "system": "T"}}])
    assert benchmark_template(other, problem, think).template_id != template.template_id
    (absent,) = parse_benchmarks([{"like": "lab_hard", "prompt": {"template": "none-v1"}}])
    with pytest.raises(PromptError, match="none-v1"):
        benchmark_template(absent, problem, think)


SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
REAL = {
    "aime24": "math/aime24_test.jsonl",
    "amc23": "math/amc23_test.jsonl",
    "math500": "math/math500_test.jsonl",
    "gsm8k": "gsm8k/test.jsonl",
    "arc_challenge": "choice/arc_challenge_test.jsonl",
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_copies_that_people_have_are_read_whole(name) -> None:
    path = SHARED / REAL[name]
    if not path.is_file():
        pytest.skip(f"{path} is not there (a shared folder beside the repository)")
    loaded = load(benchmark(name, path))
    assert len(loaded.problems) == loaded.config.expected_rows
    assert loaded.data["subset"] is None


def test_a_set_that_names_no_benchmark_is_refused() -> None:
    with pytest.raises(ConfigError, match="found benchmark"):
        parse_benchmarks(["aime23"])
