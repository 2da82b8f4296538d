"""Questions that leave no room for a completion in the policy's context are refused by name."""

from __future__ import annotations

import warnings

import pytest

from fakes import ByteTokenizer, problem, tiny_model
from guidance_fakes import repo
from rephrase_rl.assembly.prompt_lengths import (
    fit_rewriting,
    fit_rewriting_ahead,
    refuse_long_questions,
)
from rephrase_rl.config import PromptsConfig
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.guidance.sources import RefinementSource
from rephrase_rl.rollout.context_length import context_of
from rephrase_rl.trainers.trl.prompt_room import PromptRoom


def check(questions, max_completion_tokens: int = 100, **changes) -> None:
    problems = [problem(f"p{i}", question, task_kind="lab") for i, question in enumerate(questions)]
    refuse_long_questions(
        problems,
        PromptsConfig(**changes),
        ByteTokenizer(),
        PromptRoom(context_of(tiny_model().config), max_completion_tokens),  # of 1024
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


def fit(experts, context: int, completion: int = 100, **changes):
    """The limit on P(q, k), of 2048 tokens by itself."""
    problems = [
        problem(f"p{i}", expert_solution=expert, task_kind="lab")
        for i, expert in enumerate(experts)
    ]
    room = PromptRoom(context, completion)
    return fit_rewriting(problems, repo(**changes), room, ByteTokenizer(), {}).max_prompt_tokens


@pytest.mark.parametrize(("context", "limit"), [(300, 200), (4096, 2048)])
def test_a_rewrite_and_its_prompt_stay_within_the_context(context, limit) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(["1+1=2", None], context) == limit


def test_prompts_of_rewriting_that_do_not_fit_are_counted_before_the_run() -> None:
    found = r"context of 300 .* leaves 200 .*: 2 of 3 P\(q, k\) looked at are longer"
    with pytest.warns(UserWarning, match=found):
        assert fit(["1+1=2", "x" * 300, "y" * 900, None], 300) == 200


def test_a_context_without_room_for_any_rewriting_is_refused() -> None:
    with pytest.raises(DataError, match=r"leaves 200 .* none of 2 fits"):
        fit(["x" * 300, "y" * 900, None], 300)
    with pytest.raises(ConfigError, match="leaves 0 for"):
        fit(["1+1=2"], 100)


def fit_ahead(sizes, configured: int, room: PromptRoom | None) -> int:
    """The limit for rewrites made at once; a prompt has a token a character, 0: nothing to ask."""
    problems = [problem(f"p{i}", "x" * size) for i, size in enumerate(sizes)]

    def ask(item):
        return ({"role": "user", "content": item.question},) if item.question else None

    return fit_rewriting_ahead(
        problems, ask, configured, room, lambda turns: turns[0]["content"].encode()
    )


@pytest.mark.parametrize(
    ("configured", "room", "found"),
    [
        (2048, PromptRoom(300, 100), r"context of 300 .* leaves 200 .*: 1 of 3 P\(q, k\) .* lower"),
        (200, PromptRoom(4096, 100), r"max_prompt_tokens is 200: 1 of 3 .* raise it"),
        (200, None, r"max_prompt_tokens is 200: 1 of 3 .* raise it"),
    ],
)
def test_rewrites_made_at_once_leave_long_prompts_out_and_count_them(
    configured, room, found
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_ahead([200, 0, 10], configured, room) == 200
    with pytest.warns(UserWarning, match=found):
        assert fit_ahead([201, 0, 200, 10], configured, room) == 200
    with pytest.raises(DataError, match=r"200.* none of 2 "):
        fit_ahead([201, 0, 202], configured, room)


def test_rewrites_made_at_once_need_room_for_a_completion() -> None:
    with pytest.raises(ConfigError, match="leaves 0 for"):
        fit_ahead([10], 2048, PromptRoom(100, 100))


def test_prompts_that_attempts_make_are_limited_as_well() -> None:
    with pytest.warns(UserWarning, match="leaves 200 for"):
        assert fit(["1+1=2"], 300, source=RefinementSource()) == 200
