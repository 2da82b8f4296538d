"""Budgets stop before they are exceeded, and not before they have to."""

from __future__ import annotations

import asyncio

import pytest

from endpoint_fakes import Answer, chat, serving
from rephrase_rl.config import BudgetConfig
from rephrase_rl.endpoints import Budget, ChatEndpoint, ChatReply, ChatRequest, Spending
from rephrase_rl.errors import BudgetError, ConfigError

# 3 bytes + 16 of the one turn: at most 19 prompt tokens; at most 50 of the reply.
REQUEST = ChatRequest(({"role": "user", "content": "abc"},), max_tokens=50)


def asked(count: int, length: int = 1) -> list[ChatRequest]:
    return [
        ChatRequest(({"role": "user", "content": f"{i:0{length}d}"},), max_tokens=50)
        for i in range(count)
    ]


def test_the_bound_counts_bytes_not_characters() -> None:
    turns = ({"role": "system", "content": "ab"}, {"role": "user", "content": "日本"})
    assert ChatRequest(turns, max_tokens=1).max_prompt_tokens == (2 + 16) + (6 + 16)


def test_tokens_stay_below_the_limit() -> None:
    # Each reply costs 30 + 10 tokens of a bound of 17 + 50: after three (120) a fourth could
    # reach 187 of the 180 allowed.
    with serving([chat("a", prompt_tokens=30, completion_tokens=10)]) as server:
        config = server.config(budget={"tokens": 180}, concurrency=1)
        endpoint = ChatEndpoint(config)
        with pytest.raises(BudgetError, match=r"found 120 of 180 spent.*bring it to 187"):
            endpoint.ask(asked(10))
    assert endpoint.spent == Spending(3, 90, 30)


def test_requests_wait_for_room_that_comes_free() -> None:
    """The bounds of eight requests exceed the limit together; what they cost does not."""
    with serving(lambda body: Answer(chat("a", prompt_tokens=5, completion_tokens=5))) as server:
        endpoint = ChatEndpoint(server.config(budget={"tokens": 150}, concurrency=8))
        assert len(endpoint.ask(asked(8))) == 8
    assert endpoint.spent.tokens == 80


def test_cost_is_counted_by_the_prices() -> None:
    with serving([chat("a", prompt_tokens=1000, completion_tokens=100)]) as server:
        prices = {"input_price": 2.0, "output_price": 10.0}
        endpoint = ChatEndpoint(server.config(budget={"cost": 0.0035, **prices}, concurrency=1))
        # A reply costs 0.002 + 0.001; the second may cost at most (17 * 2 + 50 * 10) / 1e6 =
        # 0.000534 beside it, which does not fit into 0.0035.
        with pytest.raises(BudgetError, match=r"budget of cost: found 0.003 of 0.0035 spent"):
            endpoint.ask(asked(2))
        assert endpoint.budget.cost(endpoint.spent) == pytest.approx(0.003)
    assert Budget(BudgetConfig()).cost(Spending(1, 10, 10)) is None


def settle(reply: ChatReply) -> Spending:
    async def run() -> Spending:
        budget, settled = Budget(BudgetConfig(tokens=69)), asyncio.Condition()
        bound = await budget.reserve(REQUEST, settled)
        await budget.settle(bound, reply, settled)
        return budget.spent

    return asyncio.run(run())


def test_what_is_charged() -> None:
    bound = Spending(1, 19, 50)
    assert settle(ChatReply("replied", prompt_tokens=3, completion_tokens=0)) == Spending(1, 3, 0)
    assert settle(ChatReply("replied", prompt_tokens=3)) == Spending(1, 3, 50)
    assert settle(ChatReply("malformed")) == bound
    assert settle(ChatReply("timeout")) == bound
    assert settle(ChatReply("error")) == bound
    assert settle(ChatReply("error", http_status=429)) == Spending(1, 0, 0)


def test_a_budget_below_one_request_sends_nothing() -> None:
    with serving([chat("a")]) as server:
        with pytest.raises(BudgetError, match="found 0 of 66 spent"):
            ChatEndpoint(server.config(budget={"tokens": 66})).ask(asked(2))
        assert server.bodies == []
        assert len(ChatEndpoint(server.config(budget={"tokens": 67})).ask(asked(1))) == 1


@pytest.mark.parametrize(
    ("budget", "fault"),
    [
        ({"cost": 1.0}, "endpoint.budget: found cost 1.0 without prices"),
        ({"input_price": 1.0}, "endpoint.budget: found input_price 1.0 and output_price None"),
        ({"tokens": 0}, "endpoint.budget.tokens: found 0; required: greater than 0"),
        ({"dollars": 1}, "endpoint.budget.dollars: found unknown field"),
    ],
)
def test_faulty_budgets(budget, fault) -> None:
    with serving([chat("a")]) as server, pytest.raises(ConfigError) as caught:
        server.config(budget=budget)
    assert fault in caught.value.faults[0]
