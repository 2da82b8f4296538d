"""sympy's parse_expr evaluates what it reads; of a completion it gets digits and operators only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.rewards.math_judge import find_unboxed_answer, judge_math, parse_answer

CANARY = "canary_was_here"
CALL = f"open('{CANARY}','w')"
PAYLOADS = [
    CALL,
    f"1+{CALL}",
    f"The final answer is 1+__import__('os').system('touch {CANARY}')",
    f"answer: 2*({CALL})",
    "answer: 1/2).__class__.__mro__[1].__subclasses__(",
    f"$\\text{{{CALL}}}$",
    f"\\boxed{{{CALL}}}",
    f"\\operatorname{{exec}}({CALL})",
    f"= 3 + lambda: {CALL}",
    "9**9**9**9 = ",
    "answer: (1).__class__",
    "answer: 1+1 if 1 else 2",
    "answer: 1;2",
    "answer: [].__class__ + 1",
]
NUMERIC = re.compile(r"[\d\s.+\-*/()×÷]*")


@pytest.fixture
def evaluated(monkeypatch, tmp_path):
    """Every text that reaches sympy's evaluation."""
    import math_verify.parser

    monkeypatch.chdir(tmp_path)
    texts: list[str] = []

    def record(text, **_):
        texts.append(text)
        raise ValueError("not evaluated in this test")

    monkeypatch.setattr(math_verify.parser, "parse_expr", record)
    math_verify.parser.parse_expr_cached.cache_clear()
    yield texts
    math_verify.parser.parse_expr_cached.cache_clear()
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_name_and_no_quote_reaches_evaluation(evaluated, text) -> None:
    find_unboxed_answer(text)
    for content in (text, f"x = {text}"):
        judge_math(content, True, "1")
    assert all(NUMERIC.fullmatch(found) for found in evaluated), evaluated


def test_an_expression_does_reach_it(evaluated) -> None:
    """The test above sees what it is about."""
    find_unboxed_answer("answer: 1/2 + (3^2)")
    assert evaluated


PIECES = [*"0123 +-*/()^.,=_'\"[]{};:\\@!", "answer: ", "abc", "import", "x", "\n"]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_nothing_but_arithmetic_is_evaluated(text) -> None:
    import math_verify.parser

    texts: list[str] = []
    plain = math_verify.parser.parse_expr
    math_verify.parser.parse_expr_cached.cache_clear()
    math_verify.parser.parse_expr = lambda found, **_: texts.append(found)
    try:
        find_unboxed_answer(f"answer: {text}")
    finally:
        math_verify.parser.parse_expr = plain
        math_verify.parser.parse_expr_cached.cache_clear()
        parse_answer.cache_clear()
    assert all(NUMERIC.fullmatch(found) for found in texts)
