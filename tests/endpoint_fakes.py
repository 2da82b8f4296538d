"""A local server that speaks the chat-completions form, with faults by script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rephrase_rl.config import EndpointConfig, parse_endpoint


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    body: Any
    """Text is sent as it is, anything else as JSON."""
    status: int = 200
    after_s: float = 0.0
    """Seconds before the first byte."""
    drip_s: float = 0.0
    """Seconds between single bytes: a server that is never silent and never done."""
    headers: Mapping[str, str] = field(default_factory=lambda: {"retry-after-ms": "1"})


def chat(
    content: str | None,
    *,
    prompt_tokens: int = 10,
    completion_tokens: int = 5,
    finish_reason: str = "stop",
    logps: Sequence[float] | None = None,
    **message: Any,
) -> dict[str, Any]:
    """The body of a good answer."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **message},
    }
    if logps is not None:
        choice["logprobs"] = {"content": [{"token": "t", "logprob": value} for value in logps]}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


Reply = Answer | dict[str, Any] | str
Script = Sequence[Reply] | Callable[[dict[str, Any]], Reply]


class FakeEndpoint:
    """Answers by script: one reply after the other (the last one for ever), or a function."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self._under_way = 0
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                answer = endpoint._answer(json.loads(self.rfile.read(length)), dict(self.headers))
                try:
                    endpoint._send(self, answer)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _answer(self, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(headers)
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        if callable(self.script):
            reply = self.script(body)
        else:
            reply = self.script[min(number, len(self.script) - 1)]
        return reply if isinstance(reply, Answer) else Answer(reply)

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        time.sleep(answer.after_s)
        with self._lock:
            self._under_way -= 1
        body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        payload = body.encode()
        handler.send_response(answer.status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(payload)))
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if not answer.drip_s:
            handler.wfile.write(payload)
            return
        for byte in payload:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(answer.drip_s)

    def config(self, **changes: Any) -> EndpointConfig:
        """How to reach it."""
        return parse_endpoint({"base_url": self.url, "model": "judge-1", **changes})


@contextmanager
def serving(script: Script) -> Iterator[FakeEndpoint]:
    """Run a fake endpoint for the length of a block."""
    endpoint = FakeEndpoint(script)
    # The default poll of half a second would be the longest part of every test.
    thread = threading.Thread(target=endpoint._server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint._server.shutdown()
        endpoint._server.server_close()
        thread.join()
