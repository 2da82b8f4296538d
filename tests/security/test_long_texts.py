"""The time that a text takes grows with its length and no faster: no completion stops a run."""

from __future__ import annotations

import time

import pytest

from rephrase_rl.guidance.steps.arithmetic import find_steps
from rephrase_rl.prompts.meta_text import remove_meta_text
from rephrase_rl.reports.pages import markdown_cell, markdown_fence
from rephrase_rl.rewards import get_verifier
from rephrase_rl.rewards.context import verify_in_context
from rephrase_rl.secrecy import without_secrets

PIECES = [
    "a",
    "1",
    " ",
    "\n",
    "{",
    "}",
    "\\boxed{",
    "\\frac{",
    "(",
    "[",
    "$",
    "<think>",
    "</think>",
    "answer is ",
    "Answer: ",
    "(A) ",
    "A or ",
    "not ",
    "1,000 ",
    "1.",
    "-",
    "^",
    "9^",
    "9**",
    "1/",
    "= ",
    "1=",
    "1+",
    "*",
    "_",
    "`",
    "|",
    "the reference solution ",
    "According to the reference, ",
    "Based on ",
    "\\text{",
    "#### ",
    "1e9",
    "api_key=",
    "bearer ",
    "http://",
    "a.b@",
    "\u202e",
    "½",
    "10^9 ",
    "million ",
    "%",
    "**",
    "two ",
    "As the given solution says, we get 2. ",
    "\\left(",
    "Option ",
    "sk-",
]
HUGE = [
    "1e999999999",
    "The answer is 10^999999999",
    "9^9^9^9^9 = 3",
    "9**9**9**9 = 1",
    "9" * 20_000,
    "\\boxed{" + "9" * 20_000 + "}",
    "Answer: 1e-999999999",
    "5 \\times 10^{999999999}",
    "2^999999999 = 4",
    "9e99999999 million",
    "answer is 1e" + "9" * 5_000,
]
OPTIONS = {
    "choice": {}, "exact": {}, "format": {"format": "think_answer"}, "number": {},
    "length": {"limit": 20, "buffer": 10, "unit": "characters"}, "text_exact": {}, "text_f1": {},
}  # fmt: skip
READERS = {
    "meta text": remove_meta_text,
    "steps": find_steps,
    "keys": without_secrets,
    "cell": markdown_cell,
    "fence": markdown_fence,
}
for _name, _options in OPTIONS.items():
    _verifier = get_verifier(_name, **_options)
    READERS[_name] = lambda text, verifier=_verifier: verify_in_context(
        verifier, [text], ["12"], {"options": [["a", "b", "c"]]}
    )
LIMIT_S = 3.0
"""Seen: below 0.5 s for each."""


def slowest(reader, length):
    times = {}
    for text in [*HUGE, *(piece * (length // len(piece)) for piece in PIECES)]:
        started = time.perf_counter()
        reader(text)
        times[text[:30]] = time.perf_counter() - started
    return max(times.items(), key=lambda item: item[1])


@pytest.mark.parametrize("name", READERS)
def test_time_of_a_long_text(name) -> None:
    text, seconds = slowest(READERS[name], 4_000)
    assert seconds < LIMIT_S, text


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_time_of_a_very_long_text(name) -> None:
    text, seconds = slowest(READERS[name], 20_000)
    assert seconds < LIMIT_S, text
