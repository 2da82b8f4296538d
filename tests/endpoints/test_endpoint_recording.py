"""The file of recorded replies: cache, replay, torn lines, and descriptions of endpoints."""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import traceback

import pytest

from endpoint_fakes import Answer, chat, serving
from rephrase_rl.config import parse_endpoint
from rephrase_rl.endpoints import (
    ChatEndpoint,
    ChatReply,
    ChatRequest,
    Recording,
    request_key,
)
from rephrase_rl.errors import ConfigError, DataError, EndpointError

OFFLINE = {"base_url": "http://127.0.0.1:1/v1", "model": "judge-1"}


def request(text: str = "q", **fields: object) -> ChatRequest:
    return ChatRequest(({"role": "user", "content": text},), **{"max_tokens": 20, **fields})


def test_recorded_replies_are_not_asked_for_again(tmp_path) -> None:
    path = tmp_path / "deep" / "cache.jsonl"
    with serving([chat("one"), chat("two")]) as server:
        config = server.config(cache=str(path), concurrency=1)
        asking = ChatEndpoint(config)
        first = asking.ask([request("a"), request("b")])
        assert [reply.cached for reply in asking.ask([request("a")])] == [True]
        endpoint = ChatEndpoint(config)
        again = endpoint.ask([request("b"), request("a"), request("a")])
        assert len(server.bodies) == 2
    assert [reply.text for reply in again] == ["two", "one", "one"]
    assert [reply.at for reply in again] == [first[1].at, first[0].at, first[0].at]
    assert all(reply.cached for reply in again)
    assert not any(reply.cached for reply in first)
    assert (endpoint.spent.requests, endpoint.spent.tokens, endpoint.spent.cached) == (0, 0, 2)


def test_replay_needs_neither_network_nor_key_nor_openai(tmp_path, monkeypatch) -> None:
    path = tmp_path / "cache.jsonl"
    with serving([chat("one")]) as server:
        ChatEndpoint(server.config(cache=str(path))).ask([request()])
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delenv("FAKE_API_KEY", raising=False)
    config = parse_endpoint(
        {**OFFLINE, "cache": str(path), "replay": True, "api_key_env": "FAKE_API_KEY"}
    )
    assert ChatEndpoint(config).ask([request()])[0].text == "one"
    with pytest.raises(EndpointError, match=r"pip install '\.\[judge\]'"):
        ChatEndpoint(parse_endpoint(OFFLINE)).ask([request()])


def test_an_unknown_request_in_replay_is_an_error(tmp_path) -> None:
    path = tmp_path / "cache.jsonl"
    with serving([chat("one")]) as server:
        ChatEndpoint(server.config(cache=str(path))).ask([request()])
    endpoint = ChatEndpoint(parse_endpoint({**OFFLINE, "cache": str(path), "replay": True}))
    with pytest.raises(EndpointError) as caught:
        endpoint.ask([request(), request("new\nquestion"), request("other")])
    message = str(caught.value)
    assert "found 1 recorded replies (models: judge-1), and none to 2 of the requests" in message
    assert "'new question'" in message
    assert "replay: false" in message


@pytest.mark.parametrize(
    "change",
    [
        {"messages": ({"role": "user", "content": "q "},)},
        {"messages": ({"role": "system", "content": "q"},)},
        {"max_tokens": 21},
        {"temperature": 0.0},
        {"top_p": 1.0},
        {"seed": 0},
        {"sample": 1},
        {"logprobs": True},
    ],
)
def test_all_that_decides_a_reply_is_in_the_key(change) -> None:
    config = parse_endpoint(OFFLINE)
    base = {"messages": ({"role": "user", "content": "q"},), "max_tokens": 20}
    key = request_key(config, ChatRequest(**base))
    assert request_key(config, ChatRequest(**{**base, **change})) != key
    assert request_key(config, ChatRequest(**base)) == key


def test_the_key_knows_the_model_and_not_the_address() -> None:
    def key(**changes: object) -> str:
        return request_key(parse_endpoint({**OFFLINE, **changes}), request())

    assert key(model="other") != key()
    assert key(extra_body={"top_k": 1}) != key()
    assert key(base_url="https://elsewhere.example/v1", timeout_s=1.0) == key()


def test_a_half_written_last_line_costs_that_reply_alone(tmp_path) -> None:
    path = tmp_path / "cache.jsonl"
    with serving([chat("one"), chat("two"), chat("three")]) as server:
        config = server.config(cache=str(path), concurrency=1)
        ChatEndpoint(config).ask([request("a"), request("b")])
        path.write_bytes(path.read_bytes()[:-30])
        replies = ChatEndpoint(config).ask([request("a"), request("b")])
        assert [reply.text for reply in replies] == ["one", "three"]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["reply"]["text"] for line in lines] == ["one", "three"]


def test_failures_are_asked_for_again(tmp_path) -> None:
    script = [Answer("{}", status=500), "no JSON", chat("now")]
    with serving(script) as server:
        config = server.config(cache=str(tmp_path / "c.jsonl"), max_retries=0)
        statuses = [ChatEndpoint(config).ask([request()])[0].status for _ in range(4)]
        assert len(server.bodies) == 3
    assert statuses == ["error", "malformed", "replied", "replied"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"key": "a", "model": "m"}\n', "line 1 is no recorded reply"),
        ('{"key": "a", "reply": {"status": "replied", "txt": 1}}\n', "unknown keys .'txt'"),
        ("[1]\n", "line 1 is list"),
        ('broken\n{"key": 1}\n', "line 1 is not JSON"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message) -> None:
    path = tmp_path / "cache.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        Recording(path).get("a")
    assert path.read_text() == content


def append_many(path: str, name: str) -> None:
    recording = Recording(path)
    for i in range(40):
        reply = ChatReply("replied", f"{name}{i} " + "x" * 20_000)
        recording.add(f"{name}{i}", "m", request(f"{name}{i}"), reply)


def test_several_processes_may_append(tmp_path) -> None:
    path = tmp_path / "cache.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append_many, args=(str(path), name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    recording = Recording(path)
    assert len(recording) == 80
    assert recording.get("b39").text.startswith("b39 ")


def test_an_append_waits_for_that_of_another_process(tmp_path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "cache.jsonl"
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        adding = threading.Thread(
            target=Recording(path).add, args=("a", "m", request(), ChatReply("replied", "x"))
        )
        adding.start()
        adding.join(0.1)
        assert adding.is_alive()
        assert path.read_bytes() == b""
    adding.join(5)
    assert len(Recording(path)) == 1


SECRET = "sk-planted-key"  # noqa: S105  (no key)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"base_url": "api.example.com"}, "endpoint.base_url: found no address"),
        ({"base_url": f"https://u:{SECRET}@host/v1"}, "endpoint.base_url: found a user name"),
        ({"base_url": f"https://host/v1?key={SECRET}"}, "endpoint.base_url: found a user name"),
        ({"api_key_env": SECRET}, "endpoint.api_key_env: found something that is no name"),
        ({"api_key_env": [SECRET]}, "endpoint.api_key_env: found something that is no name"),
        ({"api_key": SECRET}, "endpoint.api_key: found unknown field"),
        ({"extra_body": {"Api-Key": SECRET}}, "endpoint.extra_body: found a key in Api-Key"),
        ({"replay": True}, "endpoint: found replay without cache"),
        ({"concurrency": 0}, "endpoint.concurrency: found 0"),
        ({"model": ""}, "endpoint.model: found ''"),
    ],
)
def test_faulty_descriptions_do_not_quote_secrets(fields, fault) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint({**OFFLINE, **fields})
    assert caught.value.faults[0].startswith(fault)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown


def test_a_trailing_slash_makes_no_difference() -> None:
    assert parse_endpoint({**OFFLINE, "base_url": "http://h/v1/"}).base_url == "http://h/v1"
