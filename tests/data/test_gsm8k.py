"""GSM8K's answer format, and the real files where they are."""

from pathlib import Path

import pytest

from rephrase_rl.data import data_fingerprint, load_problems
from rephrase_rl.data.gsm8k import parse_worked_answer

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "gsm8k"

# First row of GSM8K's training set (MIT licence, openai/grade-school-math).
NATALIA = (
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n"
    "Natalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72"
)


def test_a_row_of_gsm8k():
    expert, answer = parse_worked_answer(NATALIA)
    assert answer == "72"
    assert expert == (
        "Natalia sold 48/2 = 24 clips in May.\n"
        "Natalia sold 48+24 = 72 clips altogether in April and May.\n"
        r"The final answer is \boxed{72}."
    )


@pytest.mark.parametrize(
    ("final", "answer"),
    [("1,000", "1000"), ("1,234,567", "1234567"), ("-3", "-3"), ("$5", "5"), ("0.5", "0.5"),
     (".5", ".5"), ("  7  ", "7")],
)  # fmt: skip
def test_reference_answers(final, answer):
    expert, reference = parse_worked_answer(f"Text.\n#### {final}\n")
    assert reference == answer
    assert expert.endswith(rf"\boxed{{{answer}}}.")


def test_only_calculator_tags_are_removed():
    expert, _ = parse_worked_answer("a << b, 2 < 3 > 1, 5*<<5*2=10>>10\n#### 10")
    assert expert.startswith("a << b, 2 < 3 > 1, 5*10\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no answer", "no last line"),
        ("#### 5\nmore text", "no last line"),
        ("text\n#### five", "gives no number"),
        ("text\n####", "gives no number"),
        ("#### 5", "no worked text"),
        ("<<1+1=2>>\n#### 2", "no worked text"),
    ],
)
def test_faults(text, message):
    with pytest.raises(ValueError, match=message):
        parse_worked_answer(text)


@pytest.mark.parametrize(("name", "rows"), [("train", 7473), ("test", 1319)])
def test_the_real_files(name, rows):
    path = REAL / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not there (a shared folder beside the repository)")
    problems = load_problems(path, mapping="gsm8k")
    assert len(problems) == rows
    assert problems[0].problem_id == f"gsm8k/{name}-1"
    for problem in problems:
        assert problem.expert_solution is not None
        assert "<<" not in problem.expert_solution
        assert "####" not in problem.expert_solution
        assert problem.expert_solution.endswith(rf"\boxed{{{problem.reference_answer}}}.")
        assert "," not in problem.reference_answer
        float(problem.reference_answer)
    assert len(data_fingerprint(problems)) == 64
