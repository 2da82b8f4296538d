"""Any text, gold or completion, gets a verdict from every verifier: no error, no hang."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.records import Verdict
from rephrase_rl.rewards import get_verifier
from rephrase_rl.rewards.context import verify_in_context

SETTINGS = {
    "choice": {},
    "exact": {},
    "format": {"format": "think_answer"},
    "length": {"limit": 20, "buffer": 10, "unit": "characters"},
    "number": {},
    "rouge_l": {},
    "text_exact": {},
    "text_f1": {},
    "gated": {"gate": "number", "then": "text_f1"},
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


def check(name, verifier, completion, gold, found_options):
    started = time.perf_counter()
    (verdict,) = verify_in_context(verifier, [completion], [gold], {"options": [found_options]})
    assert isinstance(verdict, Verdict)
    if verdict.status == "scored":
        assert 0.0 <= verdict.value <= 1.0
    else:
        assert verdict.value is None
        assert verdict.status == "unscorable", (name, verdict)
    assert time.perf_counter() - started < 5.0


@pytest.mark.parametrize("name", SETTINGS)
@given(anything, anything, options)
@settings(derandomize=True, deadline=None, max_examples=200)
def test_any_text_gets_a_verdict(name, completion, gold, found_options):
    check(name, get_verifier(name, **SETTINGS[name]), completion, gold, found_options)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
@given(anything, anything, options)
@settings(derandomize=True, deadline=None, max_examples=2000)
def test_any_text_gets_a_verdict_many_times(name, completion, gold, found_options):
    check(name, get_verifier(name, **SETTINGS[name]), completion, gold, found_options)


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
@settings(derandomize=True, deadline=None, max_examples=200)
def test_any_text_gets_a_verdict_of_mathematics(mathematics, completion, gold):
    check_mathematics(mathematics, completion, gold)


@pytest.mark.slow
@given(anything, anything)
@settings(derandomize=True, deadline=None, max_examples=2000)
def test_any_text_gets_a_verdict_of_mathematics_many_times(mathematics, completion, gold):
    check_mathematics(mathematics, completion, gold)
