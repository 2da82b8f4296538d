"""Any text, gold or completion, gets a verdict from every verifier: no error, no hang."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.records import Verdict
from rephrase_rl.rewards import as_verifier, get_verifier
from rephrase_rl.rewards.context import COMPLETION_IDS, verify_in_context
from rephrase_rl.rewards.format import FORMATS

CASES = {
    "choice": ("choice", {}),
    "exact": ("exact", {}),
    **{f"format {form}": ("format", {"format": form}) for form in FORMATS},
    "format pattern": ("format", {"pattern": r"answer\D*\d+$"}),
    "length characters": ("length", {"limit": 20, "buffer": 10, "unit": "characters"}),
    "length tokens": ("length", {"limit": 20, "buffer": 10}),
    "number": ("number", {}),
    "number strict": (
        "number",
        {"rounding": "none", "percent": "exact", "scale": "exact", "accounting": False},
    ),
    "number lenient": ("number", {"rounding": "gold", "percent": "either", "min_digits": 0}),
    "rouge_l": ("rouge_l", {}),
    "text_exact": ("text_exact", {"answer": "box"}),
    "text_f1": ("text_f1", {"answer": "marker"}),
    "gated": ("gated", {"gate": "number", "then": "text_f1"}),
    "all_of": (
        "all_of",
        {"verifiers": ["choice", {"verifier": "length", "options": {"limit": 20}}]},
    ),
}
PIECES = ["\\boxed{", "}", "{", "\\frac{1}{", "\\text{", "$", "answer is ", "Answer: ", "(A)", "B"]
PIECES += ["not ", " or ", "12", "3.5", "-", "%", "million", "(", ")", "/", "^", "×10", "e9", ","]
PIECES += [
    "####",
    "<think>",
    "</think>",
    "\n",
    " ",
    "\\",
    "−",
    "½",
    "١",
    "Ｂ",
    "\u200b",
    "\x00",
    "#",
]

pieced = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
anything = st.one_of(st.text(max_size=80), pieced)
options = st.one_of(st.none(), st.lists(anything, max_size=11), anything, st.integers())


def check(case, completion, gold, found_options):
    name, settings_of_case = CASES[case]
    verifier = get_verifier(name, **settings_of_case)
    started = time.process_time()
    columns = {"options": [found_options], COMPLETION_IDS: [list(completion.encode())]}
    (verdict,) = verify_in_context(verifier, [completion], [gold], columns)
    assert isinstance(verdict, Verdict)
    if verdict.status == "scored":
        assert 0.0 <= verdict.value <= 1.0
    else:
        assert verdict.value is None
        assert verdict.status == "unscorable", (case, verdict)
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize("case", CASES)
@given(anything, anything, options)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_any_text_gets_a_verdict(case, completion, gold, found_options):
    check(case, completion, gold, found_options)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@given(anything, anything, options)
@settings(derandomize=True, deadline=None, max_examples=1000)
def test_any_text_gets_a_verdict_many_times(case, completion, gold, found_options):
    check(case, completion, gold, found_options)


returned = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=3),
    st.lists(st.integers(), max_size=2), st.complex_numbers(),
)  # fmt: skip
raised = st.sampled_from([ValueError("x"), KeyError("x"), RecursionError(), AssertionError()])


def check_function(completion, gold, outcome):
    def judge(text, answer):
        assert (text, answer) == (completion, gold)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    verifier = get_verifier("gated", gate=as_verifier(judge, {}), then="number")
    for user in (as_verifier(judge, {}), verifier):
        (verdict,) = verify_in_context(user, [completion], [gold], {})
        assert (verdict.status == "scored") == (verdict.value is not None)
        assert verdict.value is None or math.isfinite(verdict.value)


@given(anything, anything, returned | raised)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_whatever_a_users_function_does_is_a_verdict(completion, gold, outcome):
    check_function(completion, gold, outcome)


@pytest.mark.slow
@given(anything, anything, returned | raised)
@settings(derandomize=True, deadline=None, max_examples=1000)
def test_whatever_a_users_function_does_is_a_verdict_many_times(completion, gold, outcome):
    check_function(completion, gold, outcome)


@pytest.fixture(scope="module")
def mathematics():
    with get_verifier("math", timeout_s=2.0, max_workers=2) as verifier:
        yield verifier


def check_mathematics(verifier, completion, gold):
    started = time.perf_counter()
    (verdict,) = verifier.verify([completion], [gold])
    assert (verdict.status == "scored") == (verdict.value is not None)
    assert time.perf_counter() - started < 20.0  # 2 s of clock; the rest is for a busy machine


@given(anything, anything)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_any_text_gets_a_verdict_of_mathematics(mathematics, completion, gold):
    check_mathematics(mathematics, completion, gold)


@pytest.mark.slow
@given(anything, anything)
@settings(derandomize=True, deadline=None, max_examples=1000)
def test_any_text_gets_a_verdict_of_mathematics_many_times(mathematics, completion, gold):
    check_mathematics(mathematics, completion, gold)
