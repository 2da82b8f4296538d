"""The client against a local server with faults by script."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time

import pytest

from endpoint_fakes import Answer, chat, serving
from rephrase_rl.endpoints import ChatEndpoint, ChatRequest
from rephrase_rl.errors import BudgetError, EndpointError

KEY = "sk-planted-0123456789"
GOOD = chat("fine")


def request(text: str = "q", **fields: object) -> ChatRequest:
    return ChatRequest(({"role": "user", "content": text},), max_tokens=20, **fields)


def requests(count: int) -> list[ChatRequest]:
    return [request(f"q{i}") for i in range(count)]


def test_a_reply_is_read() -> None:
    body = chat("fine", logps=[-1.0, -3.0], finish_reason="length", reasoning_content="hm")
    with serving([body]) as server:
        endpoint = ChatEndpoint(server.config(extra_body={"top_k": 1}))
        (reply,) = endpoint.ask([request(temperature=0.5, top_p=0.9, seed=3, logprobs=True)])
    assert (reply.status, reply.text, reply.reasoning) == ("replied", "fine", "hm")
    assert (reply.finish_reason, reply.mean_logp) == ("length", -2.0)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached) == (10, 5, False)
    (sent,) = server.bodies
    assert sent == {
        "model": "judge-1", "messages": [{"role": "user", "content": "q"}], "max_tokens": 20,
        "temperature": 0.5, "top_p": 0.9, "seed": 3, "logprobs": True, "top_k": 1,
    }  # fmt: skip


def test_what_is_not_set_is_not_sent() -> None:
    with serving([GOOD]) as server:
        ChatEndpoint(server.config(token_limit_field="max_completion_tokens")).ask([request()])  # noqa: S106  (no key)
    assert set(server.bodies[0]) == {"model", "messages", "max_completion_tokens"}


def test_replies_come_in_the_order_of_the_requests() -> None:
    def echo(body: dict) -> Answer:
        text = body["messages"][-1]["content"]
        return Answer(chat(text), after_s=0.05 if text == "q0" else 0.0)

    with serving(echo) as server:
        replies = ChatEndpoint(server.config()).ask(requests(5))
    assert [reply.text for reply in replies] == ["q0", "q1", "q2", "q3", "q4"]


def test_requests_run_side_by_side_up_to_the_limit() -> None:
    with serving(lambda body: Answer(GOOD, after_s=0.05)) as server:
        ChatEndpoint(server.config(concurrency=3)).ask(requests(9))
    assert server.most_at_once == 3


def test_equal_requests_are_sent_once_and_samples_are_not_equal() -> None:
    with serving([GOOD]) as server:
        replies = ChatEndpoint(server.config()).ask(
            [request(), request(), request(sample=1), request(temperature=0.0)]
        )
    assert (len(server.bodies), len(replies)) == (3, 4)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_passing_faults_are_repeated(status: int) -> None:
    with serving([Answer("{}", status=status), Answer("{}", status=status), GOOD]) as server:
        (reply,) = ChatEndpoint(server.config(max_retries=2)).ask([request()])
    assert (reply.status, reply.text, len(server.bodies)) == ("replied", "fine", 3)


def test_faults_that_stay_are_a_status() -> None:
    with serving([Answer({"error": {"message": "slow down"}}, status=429)]) as server:
        (reply,) = ChatEndpoint(server.config(max_retries=1)).ask([request()])
    assert (reply.status, reply.http_status, len(server.bodies)) == ("error", 429, 2)
    assert "429" in reply.detail
    assert "slow down" in reply.detail


def test_what_repeating_cannot_mend_is_not_repeated() -> None:
    with serving([Answer({"error": {"message": "no such model"}}, status=404)]) as server:
        (reply,) = ChatEndpoint(server.config()).ask([request()])
    assert (reply.status, len(server.bodies)) == ("error", 1)
    assert "no such model" in reply.detail


def test_a_silent_server_is_a_timeout() -> None:
    with serving([Answer(GOOD, after_s=0.5)]) as server:
        (reply,) = ChatEndpoint(server.config(timeout_s=0.05, max_retries=0)).ask([request()])
    assert reply.status == "timeout"
    assert "no reply within 0.05 s in any of 1 attempts" in reply.detail


def test_a_slow_attempt_is_repeated() -> None:
    with serving([Answer(GOOD, after_s=1.0), GOOD]) as server:
        (reply,) = ChatEndpoint(server.config(timeout_s=0.5, max_retries=1)).ask([request()])
    assert (reply.status, len(server.bodies)) == ("replied", 2)


def test_a_server_that_drips_is_ended_by_the_wall_clock() -> None:
    with serving([Answer(GOOD, drip_s=0.2)]) as server:  # a byte each: a minute in all
        started = time.perf_counter()
        config = server.config(timeout_s=5.0, request_limit_s=0.2)
        (reply,) = ChatEndpoint(config).ask([request()])
        assert time.perf_counter() - started < 20.0
    assert reply.status == "timeout"
    assert "request_limit_s" in reply.detail


def test_a_batch_ends_at_its_wall_clock_and_keeps_what_it_has(tmp_path) -> None:
    def script(body: dict) -> Answer:
        return Answer(GOOD, after_s=0.0 if body["messages"][0]["content"] == "q0" else 1.6)

    with serving(script) as server:
        config = server.config(batch_limit_s=0.8, concurrency=2, cache=str(tmp_path / "c.jsonl"))
        endpoint = ChatEndpoint(config)
        replies = endpoint.ask(requests(4))
    assert [reply.status for reply in replies] == ["replied", "timeout", "timeout", "timeout"]
    assert "batch_limit_s" in replies[3].detail
    # q0 by its usage (10 + 5); the two that were cut off by their bound: 2 bytes + 16, and 20.
    assert endpoint.spent.requests == 3
    assert endpoint.spent.tokens == 15 + 2 * (18 + 20)
    assert len((tmp_path / "c.jsonl").read_text().splitlines()) == 1


def test_no_server_is_an_error() -> None:
    with serving([GOOD]) as server:
        config = server.config(max_retries=0)
    (reply,) = ChatEndpoint(config).ask([request()])
    assert reply.status == "error"
    assert "Connect" in reply.detail


MALFORMED = {
    "no_json": "{broken",
    "text": "<html>busy</html>",
    "empty": "",
    "array": [],
    "number": 3,
    "no_choices": {"id": "x"},
    "null_choices": {"choices": None},
    "empty_choices": {"choices": []},
    "odd_choice": {"choices": ["a"]},
    "no_message": {"choices": [{"index": 0}]},
    "no_content": {"choices": [{"message": {"role": "assistant"}}]},
    "content_of_parts": {"choices": [{"message": {"content": [{"type": "text"}]}}]},
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_another_form_is_malformed_and_not_recorded(body, tmp_path) -> None:
    with serving([body]) as server:
        config = server.config(cache=str(tmp_path / "c.jsonl"))
        (reply,) = ChatEndpoint(config).ask([request()])
    assert (reply.status, reply.text) == ("malformed", "")
    assert reply.detail.startswith("found no ")
    assert len(reply.detail) < 300
    assert not (tmp_path / "c.jsonl").exists()


@pytest.mark.parametrize("content", ["", None])
def test_empty_content_is_a_reply_without_text(content) -> None:
    with serving([chat(content)]) as server:
        (reply,) = ChatEndpoint(server.config()).ask([request()])
    assert (reply.status, reply.text) == ("replied", "")


@pytest.mark.parametrize(
    "usage",
    [None, [], {}, {"prompt_tokens": "7"}, {"prompt_tokens": -1, "completion_tokens": True}],
)
def test_odd_usage_is_unknown_usage(usage) -> None:
    with serving([{**GOOD, "usage": usage}]) as server:
        endpoint = ChatEndpoint(server.config())
        (reply,) = endpoint.ask([request()])
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)
    # Charged with the bound: 1 byte + 16 of the turn, and the limit of 20.
    assert (endpoint.spent.prompt_tokens, endpoint.spent.completion_tokens) == (17, 20)


def test_odd_logprobs_are_no_logprobs() -> None:
    body = chat("a", logps=[-1.0])
    body["choices"][0]["logprobs"]["content"].append({"token": "t"})
    with serving([body]) as server:
        (reply,) = ChatEndpoint(server.config()).ask([request(logprobs=True)])
    assert reply.mean_logp is None


def test_it_works_where_a_loop_is_running_and_from_several_threads() -> None:
    async def notebook(endpoint: ChatEndpoint) -> str:
        return endpoint.ask([request()])[0].text

    cheap = chat("fine", prompt_tokens=1, completion_tokens=1)
    with serving(lambda body: Answer(cheap, after_s=0.02)) as server:
        # Room for one upper bound (18 + 20) at a time: a batch has to wait for another one.
        endpoint = ChatEndpoint(server.config(budget={"tokens": 50}))
        assert asyncio.run(notebook(endpoint)) == "fine"
        texts: list[str] = []

        def ask(number: int) -> None:
            texts.append(endpoint.ask([request(f"t{number}")])[0].text)

        threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(3)
    assert texts == ["fine"] * 4
    assert endpoint.spent.requests == 5


def test_progress_counts_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    with serving([GOOD]) as server:
        ChatEndpoint(server.config()).ask(
            requests(3), on_progress=lambda done, total: seen.append((done, total))
        )
    assert seen[-1] == (3, 3)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_key_goes_to_the_endpoint_and_nowhere_else(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("FAKE_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    script = [
        Answer({"error": {"message": f"bad key {KEY}"}}, status=401),
        chat(f"you sent {KEY}"),
        f"no JSON, but {KEY}",
    ]
    with serving(script) as server:
        config = server.config(
            api_key_env="FAKE_API_KEY", cache=str(tmp_path / "c.jsonl"), concurrency=1
        )
        endpoint = ChatEndpoint(config)
        replies = endpoint.ask(requests(3))
        assert {h["authorization"] for h in map(_lower, server.headers)} == {f"Bearer {KEY}"}
    assert [reply.status for reply in replies] == ["error", "replied", "malformed"]
    assert replies[1].text == "you sent [key]"
    written = (tmp_path / "c.jsonl").read_text() + caplog.text
    assert "judge-1" in written
    for text in (written, repr(endpoint), repr(vars(endpoint)), repr(config), repr(replies)):
        assert KEY not in text
        assert "planted" not in text


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def test_without_a_key_none_is_taken_from_elsewhere(monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving([GOOD]) as server:
        ChatEndpoint(server.config()).ask([request()])
    assert KEY not in json.dumps(server.headers)


@pytest.mark.parametrize("value", [None, "", "  ", "sk planted", "sk-\x07planted", "sk-plantéd"])
def test_a_missing_or_impossible_key_is_told_without_quoting_it(monkeypatch, value) -> None:
    monkeypatch.delenv("FAKE_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("FAKE_API_KEY", value)
    with serving([GOOD]) as server:
        endpoint = ChatEndpoint(server.config(api_key_env="FAKE_API_KEY"))
        with pytest.raises(EndpointError, match="FAKE_API_KEY") as caught:
            endpoint.ask([request()])
    assert "plant" not in str(caught.value)
    assert not server.bodies


def test_an_error_of_the_budget_tells_how_far_it_came(tmp_path) -> None:
    with serving([GOOD]) as server:
        config = server.config(
            budget={"requests": 2}, concurrency=1, cache=str(tmp_path / "c.jsonl")
        )
        with pytest.raises(BudgetError, match=r"budget of requests: found 2 of 2 spent.*2 of 5"):
            ChatEndpoint(config).ask(requests(5))
        assert len(server.bodies) == 2
        # What was paid is kept: a new process with the same budget gets two further.
        again = ChatEndpoint(config)
        assert len(again.ask(requests(4))) == 4
        assert (again.spent.requests, again.spent.cached, len(server.bodies)) == (2, 2, 4)
