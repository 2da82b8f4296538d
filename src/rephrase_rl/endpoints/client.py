"""The client: a batch of requests in, one reply for each out, whatever the endpoint does.

The openai client repeats failed attempts and paces them. Requests run as tasks of one event loop
and not as threads: a task that has used up its time can be ended, a thread that waits for a socket
cannot. To callers it is an ordinary function.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from rephrase_rl.endpoints.budget import Budget
from rephrase_rl.endpoints.messages import (
    ChatReply,
    ChatRequest,
    read_reply,
    request_body,
    request_key,
)
from rephrase_rl.endpoints.recording import Recording
from rephrase_rl.endpoints.secret import read_key, reply_without_key, without_key
from rephrase_rl.errors import BudgetError, EndpointError

if TYPE_CHECKING:
    from rephrase_rl.config import EndpointConfig
    from rephrase_rl.endpoints.budget import Spending

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (requests answered, requests asked)."""

SHOWN_ERROR_CHARS = 300
"""So much of an endpoint's own error message is kept."""
SHOWN_QUESTION_CHARS = 60
"""So much of an unknown request is quoted."""


class ChatEndpoint:
    """Asks a model behind an OpenAI-compatible endpoint.

    Equal requests are sent once. Replies go to the recording as they come, so that nothing paid is
    lost when a batch ends early. Holds neither the key nor a connection between batches.
    """

    def __init__(self, config: EndpointConfig) -> None:
        """Describe the endpoint; the key is read and a connection made by the first request."""
        self.config = config
        self.budget = Budget(config.budget)
        self.recording = None if config.cache is None else Recording(config.cache)
        self._one_batch = threading.Lock()

    def __repr__(self) -> str:
        return f"ChatEndpoint({self.config.model!r} at {self.config.base_url!r})"

    @property
    def spent(self) -> Spending:
        """What this object has spent so far."""
        return self.budget.spent

    def ask(
        self, requests: Sequence[ChatRequest], *, on_progress: Progress | None = None
    ) -> list[ChatReply]:
        """Return one reply per request, in order; a failure is a reply that says so.

        Batches of several threads come one after the other.

        Args:
            requests: Any number; they are sent ``config.concurrency`` at a time.
            on_progress: Called as replies come.

        Raises:
            BudgetError: The next request could exceed the budget. Those under way were awaited.
            EndpointError: The key is not in the environment, openai is not installed, or in replay
                a request is not recorded.
        """
        keys = [request_key(self.config, request) for request in requests]
        with self._one_batch:
            replies = self._replies_to(dict(zip(keys, requests, strict=True)), on_progress)
        return [replies[key] for key in keys]

    def _replies_to(
        self, asked: Mapping[str, ChatRequest], on_progress: Progress | None
    ) -> dict[str, ChatReply]:
        """Replies by key, recorded ones and new ones."""
        replies: dict[str, ChatReply] = {}
        for key in asked:
            recorded = self.recording.get(key) if self.recording is not None else None
            if recorded is not None:
                replies[key] = recorded
        self.budget.count_cached(len(replies))
        missing = {key: request for key, request in asked.items() if key not in replies}
        if missing and self.config.replay:
            raise self._unknown(missing)
        if missing:
            _run(_Batch(self, missing, replies, on_progress).run)
        if on_progress is not None:
            on_progress(len(asked), len(asked))
        return replies

    def _unknown(self, missing: Mapping[str, ChatRequest]) -> EndpointError:
        recording = self.recording
        assert recording is not None  # config: replay needs a cache  # noqa: S101  (narrows the type)
        first = next(iter(missing.values())).messages[-1]["content"]
        shown = first[:SHOWN_QUESTION_CHARS].replace("\n", " ")
        models = ", ".join(recording.models()) or "none"
        return EndpointError(
            f"{recording.path}: found {len(recording)} recorded replies (models: {models}), and "
            f"none to {len(missing)} of the requests to {self.config.model}, the first of which "
            f"begins {shown!r}; required: all of them, with the same model, conversation and "
            "sampling settings. Record them by a run with replay: false, or restore what changed"
        )


def _run(main: Callable[[], Any]) -> None:
    """Run a coroutine function to its end, in a thread of its own if a loop is running here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(main())
        return
    with ThreadPoolExecutor(1) as pool:  # a notebook has a running loop
        pool.submit(lambda: asyncio.run(main())).result()


class _Batch:
    """One call of ``ask``: the requests that have to go out."""

    def __init__(
        self,
        endpoint: ChatEndpoint,
        requests: Mapping[str, ChatRequest],
        replies: dict[str, ChatReply],
        on_progress: Progress | None,
    ) -> None:
        """Args: whom to ask, what, where replies go, and who wants to know."""
        self._endpoint = endpoint
        self._config = endpoint.config
        self._requests = requests
        self._replies = replies
        self._on_progress = on_progress
        self._total = len(requests) + len(replies)
        self._over_budget: BudgetError | None = None

    async def run(self) -> None:
        """Fill ``replies``.

        Raises:
            BudgetError: After what was under way has ended.
        """
        key = read_key(self._config.api_key_env)
        settled = asyncio.Condition()
        queue = iter(self._requests.items())
        workers = min(self._config.concurrency, len(self._requests))
        limit = asyncio.timeout(self._config.batch_limit_s)
        async with _open_client(self._config, key) as client:
            try:
                async with limit:
                    await asyncio.gather(
                        *(self._work(client, key, queue, settled) for _ in range(workers))
                    )
            except TimeoutError:
                if not limit.expired():
                    raise
                self._give_up()
        if self._over_budget is not None:
            done = len(self._replies)
            raise BudgetError(
                f"{self._config.model}: {self._over_budget} {done} of {self._total} requests of "
                "this batch have been answered"
            )

    async def _work(
        self,
        client: Any,
        secret: str,
        queue: Iterator[tuple[str, ChatRequest]],
        settled: asyncio.Condition,
    ) -> None:
        """Take requests from the queue until it is empty or the budget is."""
        budget = self._endpoint.budget
        for key, request in queue:
            if self._over_budget is not None:
                return
            try:
                bound = await budget.reserve(request, settled)
            except BudgetError as error:
                self._over_budget = error
                return
            reply = ChatReply("timeout", detail="cut off by the limit of the batch")
            try:
                reply = await self._ask_one(client, secret, request)
            finally:
                # Also where the batch's time is up: what was sent may have to be paid.
                await asyncio.shield(budget.settle(bound, reply, settled))
            self._replies[key] = reply
            if self._endpoint.recording is not None:
                self._endpoint.recording.add(key, self._config.model, request, reply)
            if self._on_progress is not None:
                self._on_progress(len(self._replies), self._total)

    async def _ask_one(self, client: Any, secret: str, request: ChatRequest) -> ChatReply:
        import openai

        detail, http_status = "", None
        limit = asyncio.timeout(self._config.request_limit_s)
        try:
            async with limit:
                answer = await client.chat.completions.with_raw_response.create(
                    **request_body(self._config, request)
                )
                at = datetime.now(UTC).isoformat(timespec="seconds")
                reply = read_reply(without_key(answer.text, secret), at)
                return reply_without_key(reply, secret)
        except TimeoutError:
            if not limit.expired():
                raise
            wait = self._config.request_limit_s
            return ChatReply("timeout", detail=f"no reply within {wait:g} s (request_limit_s)")
        except openai.APITimeoutError:
            attempts, wait = self._config.max_retries + 1, self._config.timeout_s
            return ChatReply(
                "timeout", detail=f"no reply within {wait:g} s in any of {attempts} attempts"
            )
        except openai.APIStatusError as error:
            http_status = error.status_code
            detail = f"HTTP status {http_status}: {error.message}"
            if 300 <= http_status < 400:
                detail = f"HTTP status {http_status}: sent elsewhere, which is not followed"
        except (openai.OpenAIError, ValueError) as error:
            cause = error.__cause__
            detail = f"{type(error).__name__}: {error} ({cause!r})" if cause else str(error)
        detail = without_key(detail, secret)[:SHOWN_ERROR_CHARS]
        return ChatReply("error", detail=detail, http_status=http_status)

    def _give_up(self) -> None:
        """Mark what the batch's time did not suffice for."""
        wait = self._config.batch_limit_s
        for key in self._requests:
            if key not in self._replies:
                self._replies[key] = ChatReply(
                    "timeout", detail=f"not answered within the batch's {wait:g} s (batch_limit_s)"
                )


def _open_client(config: EndpointConfig, key: str) -> Any:
    """A client for one batch.

    It follows no redirect: key and conversation go to the host that the user named and to no other.

    Raises:
        EndpointError: openai is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise EndpointError(
            f"asking {config.model} needs the package openai, which is not installed ({error}); "
            "do `pip install '.[judge]'` in the clone"
        ) from error
    return openai.AsyncOpenAI(
        base_url=config.base_url,
        api_key=key,
        timeout=config.timeout_s,
        max_retries=config.max_retries,
        http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
    )
