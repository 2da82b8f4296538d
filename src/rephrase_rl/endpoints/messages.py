"""What is asked of an endpoint and what comes back, and how a reply's text is read.

Everything an endpoint sends is read with suspicion: a body of another form is a reply with status
``malformed``, never an exception and never an empty answer.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

# At run time too: records.from_json reads the annotations.
from rephrase_rl.records import JSON, to_json

if TYPE_CHECKING:
    from rephrase_rl.config import EndpointConfig
    from rephrase_rl.records import Message

ReplyStatus: TypeAlias = Literal["replied", "malformed", "timeout", "error"]
"""``replied``: there is a text, which may be empty. ``malformed``: the endpoint answered in another
form. The other two: it did not answer."""

SHOWN_BODY_CHARS = 200
"""So much of a body of another form is quoted."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One conversation to be continued, and how."""

    messages: tuple[Message, ...]
    max_tokens: int
    """Limit on the reply's tokens."""
    temperature: float | None = None
    """None: left to the endpoint, for models that refuse one."""
    top_p: float | None = None
    """None: left to the endpoint."""
    seed: int | None = None
    """None: not sent. Endpoints that know seeds promise little."""
    sample: int = 0
    """Number of the sample; keeps several replies to one conversation apart in the cache."""
    logprobs: bool = False
    """Whether the log-probs of the reply's tokens are asked for."""

    @property
    def max_prompt_tokens(self) -> int:
        """Upper bound on the prompt's tokens: tokenizers make at most one of each byte."""
        return sum(len(turn["content"].encode("utf-8", "replace")) + 16 for turn in self.messages)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What became of one request."""

    status: ReplyStatus
    text: str = ""
    reasoning: str | None = None
    """Thinking that the endpoint sends apart from the text. None: it sent none."""
    finish_reason: str | None = None
    """``stop``: ended by itself; ``length``: cut off at the limit; or what the endpoint says."""
    prompt_tokens: int | None = None
    """As the endpoint counts them. None: it does not say."""
    completion_tokens: int | None = None
    mean_logp: float | None = None
    """Mean log-prob of the reply's tokens (nats). None: not asked for, or not given."""
    at: str = ""
    """When the reply came: ISO 8601, UTC."""
    detail: str = ""
    """Why there is no reply, in words."""
    http_status: int | None = None
    """Status of an answer that refused the request. None: it was answered, or not at all."""
    cached: bool = False
    """Whether it comes from the recording."""


def request_key(config: EndpointConfig, request: ChatRequest) -> str:
    """Hash (hex) of all that decides a reply: model, conversation and sampling settings.

    The address is no part of it: the same model may be served elsewhere tomorrow.
    """
    content = {"model": config.model, "extra_body": config.extra_body, **to_json(request)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def request_body(config: EndpointConfig, request: ChatRequest) -> dict[str, Any]:
    """The arguments of ``client.chat.completions.create``."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [dict(turn) for turn in request.messages],
        config.token_limit_field: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "logprobs": True if request.logprobs else None,
        "extra_body": config.extra_body or None,
    }
    return {name: value for name, value in body.items() if value is not None}


def read_reply(body: str, at: str) -> ChatReply:
    """Read the body of a successful answer; see the module.

    Example:
        >>> read_reply('{"choices": []}', at="").detail
        "found no choices[0].message.content in the reply: {'choices': []}"
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return ChatReply("malformed", at=at, detail=f"found no JSON in the reply: {_shown(body)}")
    choice = _first_choice(data)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(message, dict) and "content" in message and content is None:
        content = ""  # some endpoints say so if all tokens went into thinking, or into a refusal
    if not isinstance(message, dict) or not isinstance(content, str):
        detail = f"found no choices[0].message.content in the reply: {_shown(data)}"
        return ChatReply("malformed", at=at, detail=detail)
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    reason = choice.get("finish_reason")
    return ChatReply(
        "replied",
        content,
        reasoning=reasoning if isinstance(reasoning, str) else None,
        finish_reason=reason if isinstance(reason, str) else None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        mean_logp=_mean_logp(choice.get("logprobs")),
        at=at,
    )


def _first_choice(data: JSON) -> dict[str, Any]:
    choices = data.get("choices") if isinstance(data, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _count(value: JSON) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None


def _mean_logp(logprobs: JSON) -> float | None:
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list) or not tokens:
        return None
    values = [token.get("logprob") for token in tokens if isinstance(token, dict)]
    finite = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    return fmean(finite) if len(finite) == len(tokens) else None


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_BODY_CHARS else text[:SHOWN_BODY_CHARS] + "..."
