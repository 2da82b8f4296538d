"""The key of an endpoint: read from the environment, held by nobody, kept out of every text."""

from __future__ import annotations

import os

from rephrase_rl.errors import EndpointError

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
    """``text`` with the key taken out: an endpoint may send back what it was sent."""
    return text if key == NO_KEY or len(key) < SHORTEST_SECRET else text.replace(key, HIDDEN)
