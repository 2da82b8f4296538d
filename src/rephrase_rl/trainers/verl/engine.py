"""verl's rollout servers as ``GuidanceEngine`` for one group, from a thread of its worker.

The guidance step is plain synchronous code and runs in a thread; whatever it asks for is done on
the worker's event loop, where the other groups go on meanwhile. Prompts are sampled as token ids:
an agent loop would cut P(q, k) on the left to the length of questions.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from rephrase_rl.guidance.blocks import TokenLogps
from rephrase_rl.guidance.training import ContextRatio
from rephrase_rl.records import Completion

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from rephrase_rl.guidance.blocks import Guidance, Measurement, Score
    from rephrase_rl.records import Message

ResultT = TypeVar("ResultT")


class Policy(Protocol):
    """What a worker knows of its model and servers; the same for all of its groups."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion, the tokenizer's own first."""
        ...

    @property
    def max_completion_tokens(self) -> int:
        """Longest completion, ``rollout.response_length``."""
        ...

    def encode_chat(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Token ids of a prompt, untruncated."""
        ...

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of a text, without special tokens."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, without special ones."""
        ...

    async def generate(self, prompt_ids: Sequence[int], params: dict[str, Any]) -> Any:
        """One request to verl's servers; a ``TokenOutput``."""
        ...

    async def read(self, token_ids: Sequence[int]) -> Sequence[Sequence[float]]:
        """Log-probs (nats) of tokens at temperature 1, each after those before it.

        Position i holds, as its first value, that of token i + 1.
        """
        ...

    async def score(self, question_ids: Sequence[int], completion: Completion) -> Score:
        """Rewards of a completion of the problem of this group."""
        ...


class GroupEngine:
    """Serves the guidance step of one group; its methods are called from outside the loop."""

    def __init__(
        self,
        policy: Policy,
        guidance: Guidance,
        question_ids: Sequence[int],
        sampling: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop,
        *,
        measures_all: bool = False,
    ) -> None:
        """Bind the engine to a group.

        Args:
            policy: Tokens, servers and rewards.
            guidance: For the sampling settings of candidates.
            question_ids: Tokens of q as they are trained on.
            sampling: verl's sampling parameters of the rollouts.
            loop: The event loop that serves the policy.
            measures_all: Whether every candidate's tokens are measured on q, for its record.
        """
        self._policy = policy
        self._guidance = guidance
        self._question_ids = tuple(int(token) for token in question_ids)
        self._sampling = sampling
        self._loop = loop
        self._measures_all = measures_all
        self.versions: tuple[Any, Any] | None = None
        """Oldest and newest version of the weights that sampled candidates; None: none did."""

    def question_ids(self, group: int) -> tuple[int, ...]:
        """Tokens of q."""
        return self._question_ids

    def encode_prompt(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Tokens of a prompt as an agent loop would build them, untruncated."""
        return self._policy.encode_chat(messages)

    def encode_completion(self, text: str) -> tuple[int, ...]:
        """Token ids of a completion's text, without special tokens."""
        return self._policy.encode_text(text)

    def decode_completion(self, token_ids: Sequence[int]) -> str:
        """Text of a completion's tokens, without special tokens."""
        return self._policy.decode(token_ids)

    @property
    def end_id(self) -> int:
        """The token that ends a completion."""
        return self._policy.end_ids[0]

    @property
    def max_completion_tokens(self) -> int:
        """``rollout.response_length``."""
        return self._policy.max_completion_tokens

    def anticipated(self, prompt: tuple[int, ...]) -> bool:
        """Nothing is sampled ahead: other groups keep the servers busy."""
        return False

    def sample(self, prompts: Sequence[tuple[int, ...]]) -> list[Completion]:
        """One completion per prompt, all requests at once."""
        return self._wait([self._sample_one(prompt) for prompt in prompts])

    async def _sample_one(self, prompt: tuple[int, ...]) -> Completion:
        output = await self._policy.generate(prompt, self._candidate_params())
        ids = tuple(int(token) for token in output.token_ids)
        logps = tuple(output.log_probs or ()) if self._samples_as_measured else ()
        first, last = (output.extra_fields.get(f"{end}_global_steps") for end in ("min", "max"))
        if first is not None and last is not None:
            oldest, newest = self.versions or (first, last)
            self.versions = (min(oldest, first), max(newest, last))
        finished = bool(ids) and ids[-1] in self._policy.end_ids
        # A request that was broken off and taken up again may lack those of a part.
        known = logps if ids and len(logps) == len(ids) else None
        return Completion(self._policy.decode(ids), ids, finished, known)

    def _candidate_params(self) -> dict[str, Any]:
        """Without ``max_tokens`` verl takes a longer prompt from the room of the completion."""
        params = dict(self._sampling) | {"max_tokens": self.max_completion_tokens}
        for name in ("temperature", "top_p"):
            value = getattr(self._guidance, name)
            if value is not None:
                params[name] = value
        if params.get("temperature") == 0:
            params |= {"top_p": 1.0, "top_k": -1}
        return params

    @property
    def _samples_as_measured(self) -> bool:
        """Whether candidates are drawn from what the loss takes the log-probs of."""
        params = self._candidate_params()
        untouched = params.get("top_p", 1.0) == 1.0 and params.get("top_k", -1) in (-1, 0)
        return untouched and params.get("temperature") == self._sampling.get("temperature")

    def score(self, groups: Sequence[int], completions: Sequence[Completion]) -> list[Score]:
        """Rewards of candidates by verl's reward workers."""
        return self._wait([self._policy.score(self._question_ids, c) for c in completions])

    def measure(self, wanted: Sequence[Measurement]) -> list[TokenLogps]:
        """Log-probs where something needs them before the trainer has computed them.

        A choice by likelihood, weights of the context ratio, and records of all candidates' tokens
        do. The trainer's own log-probs on q, which are exact, are put into records later. Elsewhere
        the result is empty, which stands for "not measured".
        """
        own = self._guidance
        on_q = self._measures_all or (own.choice == "most_likely" and own.num_candidates > 1)
        # Servers read at temperature 1; another would not be that of the log-probs on q.
        on_context = isinstance(own.train, ContextRatio) and self.reads_as_trained
        return self._wait([self._measure_one(one, on_q, on_context) for one in wanted])

    async def _measure_one(self, one: Measurement, on_q: bool, on_context: bool) -> TokenLogps:
        own: tuple[float, ...] = ()
        other: tuple[float, ...] = ()
        if on_q:
            own = await self.logps(self._question_ids, one.token_ids)
        if on_context and one.context_ids is not None:
            other = await self.logps(one.context_ids, one.token_ids)
        return TokenLogps(own, own if one.context_ids is None else other)

    @property
    def reads_as_trained(self) -> bool:
        """Whether log-probs that servers read are at the temperature of those in the loss."""
        return self._sampling.get("temperature", 1.0) == 1.0

    def expert_logps(self, solution: str) -> tuple[float, int] | None:
        """Sum and number of the log-probs on q of an expert's text with its end.

        None where it is longer than a completion may be, or the servers' temperature is another.
        """
        token_ids = (*self.encode_completion(solution), self.end_id)
        if len(token_ids) > self.max_completion_tokens or not self.reads_as_trained:
            return None
        (found,) = self._wait([self.logps(self._question_ids, token_ids)])
        return sum(found), len(found)

    async def logps(
        self, prompt: tuple[int, ...], completion: tuple[int, ...]
    ) -> tuple[float, ...]:
        """Log-probs of a completion's tokens after a prompt, at temperature 1."""
        found = (await self._policy.read((*prompt, *completion)))[len(prompt) - 1 :]
        return tuple(float(values[0]) for values in found[: len(completion)])

    def _wait(self, work: Sequence[Coroutine[Any, Any, ResultT]]) -> list[ResultT]:
        """Have the loop do it all, and wait."""

        async def together() -> list[ResultT]:
            return list(await asyncio.gather(*work))

        return asyncio.run_coroutine_threadsafe(together(), self._loop).result()


def request_id() -> str:
    """A name for one request to verl's servers."""
    return uuid4().hex
