"""Steps that are checked for themselves: what counts as one, what is right, what is passed over."""

from __future__ import annotations

import ast
import gc
import json
import operator
import re
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.data.gsm8k import parse_worked_answer
from rephrase_rl.guidance.steps import arithmetic_steps, find_steps
from rephrase_rl.guidance.steps.expressions import LARGEST

GSM8K = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "gsm8k" / "train.jsonl"

# (text, right steps, steps found)
CASES = [
    ("48/2 = 24", 1, 1),
    ("Natalia sold 48/2 = 24 clips in May.", 1, 1),
    ("Natalia sold 48/2 = 25 clips in May.", 0, 1),
    ("She sold 48+24 = 72 clips, and 72 - 2 = 71.", 1, 2),
    ("5 apples + 3 apples = 8 apples", 1, 1),
    ("60 miles/hour * 2 hours = 120 miles", 1, 1),
    ("500 pieces of firewood / 5 pieces = 100", 1, 1),
    ("1 (Carmela) + 4 (cousins) = 5 people", 1, 1),
    ("$12/60 = $0.2 per minute", 1, 1),
    ("$1,200 * 2 = $2,400", 1, 1),
    (r"1{,}200 \times 2 = 2{,}401", 0, 1),
    (r"$\frac{1}{2} \times 6 = 3$", 1, 1),
    (r"\frac12 \cdot 6 = 3", 1, 1),
    (r"\(\dfrac{3 + 5}{4} = 2\)", 1, 1),
    (r"\left(2 + 3\right) \div 5 = 1", 1, 1),
    (r"\boxed{3 + 4} = 7", 1, 1),
    (r"2 + 2 \text{ cats} = \boxed{4}", 1, 1),
    ("2 x 3 = 6 and 4x5 = 20 and $20x 2 = $40", 3, 3),
    ("2 × 3 − 1 = 5; 10 ÷ 4 = 2.5", 2, 2),
    ("three bags: 3 times 4 equals 12, 12 plus 1 equals 13", 2, 2),
    ("48 divided by 2 is 24. Then 24 divided by 48 is 72.", 1, 2),
    ("12 minus 4 cats is 8 cats, 10 plus $2.50 is $12.50, 10 plus 2 is 13", 2, 3),
    ("4 times 2 plus 2 is 10, 3 minus 5 is -2, 100 times 20 is 2,000", 3, 3),
    ("2 plus 3 is 1 more than 4, 2 plus 3 is 5 of the 9, 2 plus 3 is 5 times 1", 0, 0),
    ("the second of 2 is 5 years old; 7 is 5 + 1; he is 3; 20 is 2*$20", 0, 0),
    ("half plus 3 is 12, twice 4 plus 3 is 30, x plus 3 is 5", 0, 0),
    ("2(3) = 6, (2)(3) = 6, 5 (3) = 15", 2, 2),
    ("2 + 3 * 4 = 14, (2 + 3) * 4 = 20, 2 + 3 * 4 = 20", 2, 3),
    ("10 - 4 - 3 = 3, 16 / 4 / 2 = 2", 2, 2),
    ("25 / 1/3 = 75", 1, 1),
    ("-3 + 5 = 2. 3 - 5 = -2", 2, 2),
    ("2^3 = 8, 2^{3} = 8, 3² = 9, 2**3 = 8", 4, 4),
    ("-2^2 = -4, 2^3^2 = 512", 2, 2),
    ("20% of 50 = 10, 1/2 of 10 = 5", 2, 2),
    ("10/50 = 20%, 10/50 * 100 = 20%, 10/50 = 30%", 2, 3),
    (r"100\% - 20\% = 80\%", 1, 1),
    ("10/3 = 3.33, 10/3 = 3.3, 20/3 = 6.67, 20/3 = 6.66", 4, 4),
    ("10/3 = 3.43, 10/3 = 3, 10/4 = 2", 0, 3),
    ("10/3 ≈ 3, 20/3 \\approx 7, 10/3 ≈ 5", 2, 3),
    ("1/3 = 33.3%", 1, 1),
    ("2 * 3 + 4 = 6 + 4 = 10", 2, 2),
    ("3 + 4 = 7 + 2 = 9", 2, 2),
    ("3 + 4 = 7 + 2", 0, 1),
    ("x = 3 + 4 = 7", 1, 1),
    ("48 + 24\n= 72", 1, 1),
    ("48 + 24 \\\\\n&= 73", 0, 1),
    ("a total of 3 + 4 = 7", 1, 1),
    ("- 3 + 4 = 7\n2. 3 + 4 = 7\nStep 1: 3 + 4 = 7", 3, 3),
    ("**3 + 4 = 7**", 1, 1),
    ("<<48/2=24>>48/2 = 24", 1, 1),
    ("7 = 3 + 4", 1, 1),
    (".5 * 4 = 2", 1, 1),
    ("5 + 3 = 8! Great.", 1, 1),
    # Nothing that could be checked.
    ("", 0, 0),
    ("The cost = 5 and 5 = 5.", 0, 0),
    ("2x + 3 = 7, x + 3 = 7, 3 + x = 7, 3 = 7 - x, 3 + 4 = y", 0, 0),
    ("half of 10 + 2 = 6, twice 3 + 1 = 7, 3 dozen + 1 = 37", 0, 0),
    ("5! = 120, 5! + 1 = 121", 0, 0),
    (r"\sqrt{16} + 1 = 5", 0, 0),
    ("10 + 2 < 13, 3 + 4 ≠ 8, 3 + 4 <= 8, so 3 + 4 => 7", 0, 0),
    ("3 : 4 = 6 : 8, 9:00 - 8:00 = 1, 0900 - 0130 = 0730", 0, 0),
    ("10 / 0 = 5, 0^{-1} = 3, 2^{1/2} = 1, 9^99 = 1", 0, 0),
    ("Step 1 - 3 + 4 = 8", 0, 0),
    ("4 bedrooms = 121 * 4, 1% is equal to $150/10, 1/4 cup = 15 spoons", 0, 0),
    ("f(5 + 3) = 8, 3(x + 1) = 9, (x + 1) * 3 = 9", 0, 0),
    ("the 3 (see above) + 4 more things and so on = 9", 0, 0),
    ("3 + (4 = 7", 0, 0),
    ("7+5=2-3=9+2=1", 0, 3),
]


@pytest.mark.parametrize(("text", "valid", "found"), CASES)
def test_steps_are_counted(text: str, valid: int, found: int) -> None:
    steps = find_steps(text)
    assert (sum(step.is_valid for step in steps), len(steps)) == (valid, found), steps
    assert arithmetic_steps(text) == (valid, found)
    assert all(step.text in text for step in steps)


def test_share_of_nothing_is_not_a_number() -> None:
    assert arithmetic_steps("2 + 2 = 4, 2 + 2 = 5").share == 0.5
    assert arithmetic_steps("so it is").share != arithmetic_steps("so it is").share


SIGNS = {
    "+": ("+", " + ", " plus "),
    "-": (" - ", "−", " minus "),
    "*": ("*", " x ", " × ", " \\times ", " \\cdot "),
    "/": (" / ", " ÷ ", " \\div ", " divided by "),
}
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


@st.composite
def expressions(draw, depth: int = 3) -> tuple[str, Fraction]:
    """A text, fully bracketed, and its value by another way of computing it."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        number = draw(st.integers(0, 99_999))
        unit = draw(st.sampled_from(["", "", " clips", " km"]))
        prefix = draw(st.sampled_from(["", "$"]))
        return f"{prefix}{number:,}{unit}", Fraction(number)
    (left, a), (right, b) = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    if b != 0 and draw(st.booleans()):
        return rf"\frac{{{left}}}{{{right}}}", a / b
    sign = draw(st.sampled_from("+-*" if b == 0 else "+-*/"))
    written = draw(st.sampled_from(SIGNS[sign]))
    return f"({left}){written}({right})", OPERATIONS[sign](a, b)


@given(expressions(), expressions(), st.integers(1, 9))
@settings(derandomize=True, deadline=None, max_examples=120)
def test_what_is_right_by_another_computation_is_right(first, second, slip) -> None:
    (left, a), (right, b) = first, second
    text = f"So ({left}) - ({right}) = "
    value = a - b
    result = rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    wrong = rf"\frac{{{value.numerator + slip * value.denominator}}}{{{value.denominator}}}"
    if max(abs(value.numerator), value.denominator) > 10**20:
        return  # longer numbers have no value there
    assert arithmetic_steps(f"{text}{result} in all.") == (1, 1)
    assert arithmetic_steps(f"{text}{wrong} in all.") == (0, 1)


PIECES = [
    *(c[0] for c in CASES),
    *"0123456789+-*/^=()[]{}%$!:.,;\\xy \n²٣½∑",
    *("\\frac", "\\text{", " of ", "twice", "≈", "dozen", "1e9", "\ud800", "<<", ">>"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=40))
@settings(derandomize=True, deadline=None, max_examples=250)
def test_no_text_raises(pieces) -> None:
    valid, found = arithmetic_steps("".join(pieces))
    assert 0 <= valid <= found


HOSTILE = [
    "(", "((1+", "1+(", "1+", "9", "9^", "9^9^", "\\frac{", "\\frac{1}{", "1 a ", "1/a", "a2", "a",
    "1=", "=", "1+1=", "\n", "\n &", "\\\\ ", " ", "1 of ", "1% of ", "<<", "<<1", "\\text{", "(a)",
    "9*9*", "1,000", ",000", "2-", "- ", "**", "1**", "x", "1x", "' ", "times ", "1 times ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece)) + " = 3"
        taken = []
        for _ in range(2):
            started = time.process_time()
            arithmetic_steps(text)
            taken.append(time.process_time() - started)
        return min(taken)

    gc.disable()  # its pauses come at lengths of their own
    try:
        # Quadratic time would be 64 times as long; noise of a small measurement is allowed for.
        assert seconds(16_000) < 24 * max(seconds(2_000), 0.001)
    finally:
        gc.enable()


def test_numbers_do_not_grow_without_bound() -> None:
    digits = len(str(LARGEST))
    assert arithmetic_steps("99 * " * 10 + "1 = 5") == (0, 1)
    assert arithmetic_steps("99 * " * digits + "1 = 5") == (0, 0)
    assert arithmetic_steps("1" * 5000 + " + 1 = 5") == (0, 0)


# ---------------------------------------------------------------- GSM8K, with its own tags

TAG = re.compile(r"<<([^<>=]*)=([^<>=]*)>>")


def value_of(expression: str) -> Fraction:
    """Value of a tag's side by Python's own parser."""

    def walk(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant):
            return Fraction(str(node.value))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -walk(node.operand)
        operations = {
            ast.Add: operator.add, ast.Sub: operator.sub,
            ast.Mult: operator.mul, ast.Div: operator.truediv,
        }  # fmt: skip
        assert isinstance(node, ast.BinOp)
        return operations[type(node.op)](walk(node.left), walk(node.right))

    return walk(ast.parse(expression.strip(), mode="eval").body)


def wrong_results(answer: str, most: int = 0) -> str:
    """Every tagged result raised by one, in the text behind its tag; or only the first ones."""

    def raised(match: re.Match[str]) -> str:
        return f"<<{match[1]}={match[2]}>>{int(match[3].replace(',', '')) + 1}"

    pattern = r"<<([^<>=]*)=([^<>=]*)>>(\d[\d,]*)(?!\d|\.\d)"
    return re.sub(pattern, raised, answer, count=most)


def tally(rows: list[dict[str, str]]) -> dict[str, float]:
    tags = sum(len(TAG.findall(row["answer"])) for row in rows)
    steps = [s for r in rows for s in find_steps(parse_worked_answer(r["answer"]).expert_solution)]
    spoiled = [
        s
        for row in rows
        for s in find_steps(parse_worked_answer(wrong_results(row["answer"])).expert_solution)
    ]
    return {
        "found": len(steps) / tags,
        "valid": sum(s.is_valid for s in steps) / len(steps),
        "spoiled_valid": sum(s.is_valid for s in spoiled) / len(spoiled),
    }


def gsm8k(rows: int | None) -> list[dict[str, str]]:
    if not GSM8K.is_file():
        pytest.skip(f"{GSM8K} is not there")
    return [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()[:rows]]


def check_experts(rows: list[dict[str, str]]) -> None:
    shares = tally(rows)
    assert shares["found"] > 0.98
    assert shares["valid"] > 0.996
    # Some results have no tag, and some equations stay right: 2 * 3 = 3 + 3 beside a raised 6.
    assert shares["spoiled_valid"] < 0.1


def test_experts_of_gsm8k_are_right_and_spoiled_ones_are_not() -> None:
    check_experts(gsm8k(1000))


@pytest.mark.slow
def test_all_experts_of_gsm8k() -> None:
    check_experts(gsm8k(None))


@pytest.mark.slow
def test_figures_of_the_page_on_rewrites_are_these() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rewrites.md").read_text(encoding="utf-8")
    words = " ".join(page.split())
    rows = gsm8k(None)
    steps = [find_steps(parse_worked_answer(row["answer"]).expert_solution) for row in rows]
    found = sum(map(len, steps))
    right = sum(step.is_valid for of_row in steps for step in of_row)
    refused = sum(any(not step.is_valid for step in of_row) for of_row in steps)
    tags = sum(len(TAG.findall(row["answer"])) for row in rows)
    assert f"{found:,} steps in the expert solutions (the set itself tags {tags:,})" in words
    assert f"calls {right / found:.1%} of them right".replace("%", " %") in words
    assert f"{refused} of {len(rows):,} solutions would be refused" in words
    changed = [row["answer"] for row in rows if wrong_results(row["answer"], 1) != row["answer"]]
    spoiled = [parse_worked_answer(wrong_results(answer, 1)).expert_solution for answer in changed]
    noticed = sum(any(not step.is_valid for step in find_steps(text)) for text in spoiled)
    assert f"Of {len(spoiled):,} solutions whose first result was raised by one" in words
    assert f"{noticed:,} ({noticed / len(spoiled):.0%}) were noticed".replace("%", " %") in words


def test_a_step_that_is_wrong_here_is_wrong_or_untagged_there() -> None:
    """A tag whose both sides Python computes to the same is never called wrong."""
    rows, tags, wrong = gsm8k(1500), 0, []
    for row in rows:
        for left, right in TAG.findall(row["answer"]):
            try:
                holds = value_of(left) == value_of(right)
            except (SyntaxError, ZeroDivisionError, AssertionError, KeyError):
                continue
            if holds and not right.lstrip("-").replace(".", "").isdigit():
                continue
            if holds:
                tags += 1
                steps = find_steps(f"So {left} = {right}.")
                wrong += [(left, right)] * any(not step.is_valid for step in steps)
    assert tags > 4000
    assert wrong == []


@pytest.mark.parametrize(
    "text", ["1/0 = 3 + 4", "3 + 4 = 1/0", "2 + 2 = cost 5", "2 + 2 = x, so 5"]
)
def test_an_equals_sign_without_a_value_beside_it_is_no_step(text) -> None:
    assert find_steps(text) == []


@pytest.mark.parametrize("text", ["9 = 4 + 5 apples", "9 = 4 + 5", "So 9 = 4 + 5 red apples."])
def test_a_step_is_written_to_its_last_number(text) -> None:
    assert [step.text for step in find_steps(text)] == ["9 = 4 + 5"]
