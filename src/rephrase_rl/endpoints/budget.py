"""What may still be spent on an endpoint: upper bounds are reserved before, costs charged after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.errors import BudgetError

if TYPE_CHECKING:
    import asyncio

    from rephrase_rl.config import BudgetConfig
    from rephrase_rl.endpoints.messages import ChatReply, ChatRequest

PRICED_TOKENS = 1_000_000
"""Prices are for so many tokens."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent, or would be at most."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: int = 0
    """Replies that cost nothing, since they were recorded."""

    @property
    def tokens(self) -> int:
        """Prompts and replies together."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: Spending) -> Spending:
        """The sum."""
        return Spending(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached + other.cached,
        )

    def minus(self, other: Spending) -> Spending:
        """The difference."""
        return Spending(
            self.requests - other.requests,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cached - other.cached,
        )


class Budget:
    """Keeps what is spent and reserved below the limits of a ``BudgetConfig``."""

    def __init__(self, config: BudgetConfig) -> None:
        """Start with nothing spent."""
        self._config = config
        self._reserved = Spending()
        self.spent = Spending()

    def cost(self, spending: Spending) -> float | None:
        """Money, in the currency of the prices; None without prices."""
        config = self._config
        if config.input_price is None or config.output_price is None:
            return None
        total = (
            spending.prompt_tokens * config.input_price
            + spending.completion_tokens * config.output_price
        )
        return total / PRICED_TOKENS

    async def reserve(self, request: ChatRequest, settled: asyncio.Condition) -> Spending:
        """Set the upper bound of a request aside, once it fits beside what is under way.

        Args:
            request: About to be sent.
            settled: Notified whenever something is settled.

        Raises:
            BudgetError: It does not fit even if nothing else is under way.
        """
        bound = Spending(1, request.max_prompt_tokens, request.max_tokens)
        async with settled:
            # A reply mostly costs less than its bound, so room may come free.
            while self._reserved.requests and self._excess(self._reserved.plus(bound)):
                await settled.wait()
            excess = self._excess(self._reserved.plus(bound))
            if excess:
                raise BudgetError(
                    f"{excess}; the next request was not sent. Required: a budget with room for "
                    "it; raise the limit to go on (replies in the cache are not paid twice)"
                )
            self._reserved = self._reserved.plus(bound)
        return bound

    async def settle(self, bound: Spending, reply: ChatReply, settled: asyncio.Condition) -> None:
        """Put what a request cost in the place of its upper bound.

        What the endpoint does not count, and what it may have computed for a reply that never
        came, is charged with the bound; a refused request costs no tokens.
        """
        actual = Spending(requests=1)
        if reply.http_status is None:
            prompt_tokens, completion_tokens = reply.prompt_tokens, reply.completion_tokens
            actual = Spending(
                1,
                bound.prompt_tokens if prompt_tokens is None else prompt_tokens,
                bound.completion_tokens if completion_tokens is None else completion_tokens,
            )
        async with settled:
            self._reserved = self._reserved.minus(bound)
            self.spent = self.spent.plus(actual)
            settled.notify_all()

    def count_cached(self, replies: int) -> None:
        """Note replies that were answered from the recording."""
        self.spent = self.spent.plus(Spending(cached=replies))

    def _excess(self, planned: Spending) -> str:
        """Which limit would be exceeded, in words; empty if none."""
        total, config = self.spent.plus(planned), self._config
        figures = (
            ("requests", self.spent.requests, total.requests, config.requests),
            ("tokens", self.spent.tokens, total.tokens, config.tokens),
            ("cost", self.cost(self.spent), self.cost(total), config.cost),
        )
        for name, spent, wanted, limit in figures:
            if limit is not None and wanted is not None and wanted > limit:
                return (
                    f"budget of {name}: found {spent:g} of {limit:g} spent, and the next request "
                    f"may bring it to {wanted:g}"
                )
        return ""
