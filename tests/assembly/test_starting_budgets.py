"""Token budgets of a first configuration leave room for P(q, k) and its rewrite, or say why not."""

from __future__ import annotations

import pytest

from rephrase_rl.assembly.starting_budgets import Budgets, ExpertLengths, find_budgets
from rephrase_rl.data.inspection import DataInspector
from rephrase_rl.errors import ConfigError

TEMPLATE = 200
"""Tokens of P(q, k) around the expert, in these tests."""


def budgets(
    *experts: int, context: int | None = 4096, kind: str = "gpu", around: int = TEMPLATE
) -> Budgets:
    inspector = DataInspector()
    inspector.add_length("solve", 100, "p")
    for expert in experts:
        inspector.add_length("expert", expert, "p")
    lengths = [ExpertLengths(expert, expert + around) for expert in experts]
    return find_budgets(inspector.report(), lengths, context, kind)


def test_budgets_have_room_for_the_longest() -> None:
    found = budgets(300)
    assert found.max_completion_length == 512  # 450 rounded up to a multiple of 64
    assert found.max_prompt_tokens == 576  # 550 rounded up
    assert (found.expert_tokens, found.left_out, found.shortened) == (None, 0, False)


def test_without_experts_the_machine_decides() -> None:
    assert budgets(context=None, kind="cpu").max_completion_length == 256
    assert budgets(context=None).max_completion_length == 1024
    assert budgets(context=None).max_prompt_tokens is None


def test_completions_are_shortened_before_an_expert_is_left_out() -> None:
    # 900 asks for completions of 1408, and P(q, k) of 1100 leaves 948.
    found = budgets(900, context=2048)
    assert (found.max_completion_length, found.max_prompt_tokens) == (948, 1100)
    assert (found.expert_tokens, found.left_out, found.shortened) == (None, 0, True)


def test_the_usual_room_is_kept_where_most_experts_then_fit() -> None:
    # Under 740 the longest would fit too, and no rewrite of 500 would have 750.
    found = budgets(*[500] * 19, 700, context=1640)
    assert (found.max_completion_length, found.left_out) == (940, 1)
    assert found.expert_tokens == 500
    # With 50 fewer for the many, the one costs them nothing.
    found = budgets(*[450] * 19, 700, context=1640)
    assert (found.max_completion_length, found.left_out) == (740, 0)
    # Too few would fit with the usual room.
    found = budgets(*[500] * 15, *[700] * 5, context=1640)
    assert (found.max_completion_length, found.left_out) == (740, 0)


def test_what_is_left_out_is_counted() -> None:
    found = budgets(*range(100, 1100, 100), context=1024)
    # Of 100, 200 ... an expert k needs 2 k + 201, so those up to 400 fit.
    assert (found.experts, found.fitting, found.expert_tokens) == (10, 4, 400)
    assert 401 <= found.max_completion_length <= 1024 - 600
    assert found.max_prompt_tokens == 1024 - found.max_completion_length


def test_one_long_question_costs_no_expert_but_its_own() -> None:
    inspector = DataInspector()
    inspector.add_length("solve", 100, "p")
    lengths = [ExpertLengths(100, 300)] * 19 + [ExpertLengths(100, 2000)]
    for one in lengths:
        inspector.add_length("expert", one.expert, "p")
    found = find_budgets(inspector.report(), lengths, 1024, "gpu")
    assert (found.fitting, found.left_out) == (19, 1)
    assert found.expert_tokens is None  # an expert as short as the others
    assert found.max_completion_length == 192  # 150 rounded up


@pytest.mark.parametrize(
    ("experts", "context", "words"),
    [
        (
            (40, 60),
            256,
            r"0 of 2 .* has 40 tokens, .* take 200 around it, .* long as it 41, 281 tog",
        ),
        ((10,), 241, "as long as it 32, 242 together"),
        ((300, *[5000] * 19), 1024, "1 of 20 experts can be rewritten, .* 300 tokens,"),
    ],
)
def test_a_context_without_room_for_experts_is_refused(experts, context, words) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        budgets(*experts, context=context)
    assert f"a context of {context} tokens" in str(caught.value)
    assert "longer context" in str(caught.value)


def test_no_budget_is_written_that_no_expert_fits() -> None:
    for context in range(200, 1400, 37):
        try:
            found = budgets(80, 150, 310, context=context)
        except ConfigError:
            continue
        assert found.max_prompt_tokens is not None
        assert found.max_completion_length + found.max_prompt_tokens <= context
        limit = found.expert_tokens or 310
        assert sum(expert <= limit for expert in (80, 150, 310)) == found.fitting > 0
        assert limit + TEMPLATE <= found.max_prompt_tokens
        assert limit < found.max_completion_length
