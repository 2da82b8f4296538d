"""The key of an endpoint: read from the environment, held by nobody, kept out of every text."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import EndpointError

if TYPE_CHECKING:
    from rephrase_rl.endpoints.messages import ChatReply

NO_KEY = "none"
"""Sent where an endpoint needs no key, since the openai client wants one."""
HIDDEN = "[key]"
SHORTEST_SECRET = 4
"""A shorter value is no key, and hiding it would cut up ordinary text."""


def read_key(environment_name: str | None) -> str:
    """The key, or a stand-in where none is needed.

    Raises:
        EndpointError: The variable is not set or empty, or cannot be sent in a header.
    """
    if environment_name is None:
        return NO_KEY
    key = os.environ.get(environment_name, "").strip()
    if not key:
        raise EndpointError(
            f"found no value in the environment variable {environment_name}; required: the key of "
            f"the endpoint; do this: export {environment_name}=... before the command, or leave "
            "api_key_env out for an endpoint without keys"
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise EndpointError(
            f"found characters in the environment variable {environment_name} that no key has "
            "(not quoted here); required: printable ASCII without blanks; do this: set it anew"
        )
    return key


def without_key(text: str, key: str) -> str:
    """``text`` with the key taken out, as it is and as JSON or Python write it in quotes.

    An endpoint may send back what it was sent.
    """
    if key == NO_KEY or len(key) < SHORTEST_SECRET:
        return text
    quoted = (json.dumps(key)[1:-1], json.dumps(key)[1:-1].replace("/", "\\/"), repr(key)[1:-1])
    for form in (key, *quoted):
        text = text.replace(form, HIDDEN)
    return text


def reply_without_key(reply: ChatReply, key: str) -> ChatReply:
    """A reply without the key in any of its texts, in whatever escapes it was sent."""
    texts = ("text", "reasoning", "finish_reason", "detail")
    found = {name: getattr(reply, name) for name in texts}
    clean: dict[str, Any] = {n: without_key(text, key) for n, text in found.items() if text}
    return dataclasses.replace(reply, **clean)
