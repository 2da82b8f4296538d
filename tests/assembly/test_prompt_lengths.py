"""Questions that leave no room for a completion in the policy's context are refused by name."""

from __future__ import annotations

import warnings

import pytest

from fakes import ByteTokenizer, problem, tiny_model
from rephrase_rl.assembly.prompt_lengths import context_of, refuse_long_questions
from rephrase_rl.config import PromptsConfig
from rephrase_rl.errors import DataError


def check(questions, max_completion_tokens: int = 100, **changes) -> None:
    problems = [problem(f"p{i}", question, task_kind="lab") for i, question in enumerate(questions)]
    refuse_long_questions(
        problems,
        PromptsConfig(**changes),
        ByteTokenizer(),
        context_of(tiny_model().config),  # 1024
        max_completion_tokens,
        {},
    )


def test_every_long_question_is_named_and_short_ones_are_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(["1+1=", "x" * 900])
    with pytest.raises(DataError, match="2 of 3 questions are longer than") as raised:
        check(["1+1=", "x" * 1030, "y" * 5000])
    assert [fault.split("'")[1] for fault in raised.value.faults] == ["p1", "p2"]


def test_completions_beyond_the_context_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"1 of 2 prompts and trainer\.max_completion_length"):
        check(["1+1=", "x" * 900], max_completion_tokens=200)
