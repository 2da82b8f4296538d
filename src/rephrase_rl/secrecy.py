"""What looks like a key, and texts with keys taken out.

A run directory is copied, published and attached to issues, so no key may come into one: fields
that hold one are refused, and what is stored as it was typed (the command line) is cleaned first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

HIDDEN = "[hidden]"
"""Stands where a key was."""
SHORTEST_SECRET = 8
"""A shorter value of an environment variable is not looked for: it would cut up ordinary text."""

_NAMES = frozenset(
    {
        "access_token",
        "api_key",
        "api_token",
        "apikey",
        "auth_token",
        "authorization",
        "bearer",
        "bearer_token",
        "cookie",
        "credentials",
        "hf_token",
        "hub_token",
        "passwd",
        "password",
        "private_key",
        "secret",
        "secret_key",
        "use_auth_token",
    }
)
_ENDINGS = tuple(f"_{name}" for name in sorted(_NAMES))
_KNOWN_KEYS = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-|sk_|hf_|gsk_|xai-|ghp_|gho_|github_pat_|glpat-|nvapi-|AKIA|AIza|xox[abp]-)"
    r"[A-Za-z0-9_-]{12,}|(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"
)
"""Keys that say by their beginning what they are."""
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
"""User name and password in an address."""
_NAMED = re.compile(
    r"""(?ix)
    (?P<name>(?:api[_-]?key|api[_-]?token|authorization|password|passwd|secret(?:[_-]key)?
        |(?:access|auth|bearer|hf|hub)[_-]token))
    (?P<middle>["']?\s*[:=]\s*["']?)
    (?P<value>(?!\[hidden\])[^\s"',;&}\]]+)
    """
)
"""A key that stands behind its name, as in ``api_key: x`` and ``?api_key=x``."""


def is_secret_name(name: str) -> bool:
    """Whether a field, header or environment variable of that name holds a key.

    Example:
        >>> is_secret_name("X-API-Key"), is_secret_name("api_key_env"), is_secret_name("eos_token")
        (True, False, False)
    """
    plain = name.strip().lower().replace("-", "_")
    return plain in _NAMES or plain.endswith(_ENDINGS)


def secrets_in(value: object, path: str = "") -> list[str]:
    """Paths of everything in plain data that holds a key, by its name or its form.

    Example:
        >>> secrets_in({"headers": {"Authorization": "Bearer x"}, "eos_token": "</s>"})
        ['headers.Authorization']
    """
    if isinstance(value, Mapping):
        found = []
        for key, item in value.items():
            here = f"{path}{key}"
            is_plain = item is not None and not isinstance(item, bool | Mapping | list | tuple)
            if is_plain and item != "" and is_secret_name(str(key)):
                found.append(here)
            else:
                found += secrets_in(item, f"{here}.")
        return found
    if isinstance(value, list | tuple):
        return [name for i, item in enumerate(value) for name in secrets_in(item, f"{path}{i}.")]
    is_key = isinstance(value, str) and _KNOWN_KEYS.search(value) is not None
    return [path.removesuffix(".")] if is_key else []


def without_secrets(text: str) -> str:
    """``text`` with every key taken out that its form, its name or the environment betrays.

    Example:
        >>> without_secrets("--set judge.api_key=abc https://me:word@host/v1")
        '--set judge.api_key=[hidden] https://[hidden]@host/v1'
    """
    for value in _values_of_environment():
        text = text.replace(value, HIDDEN)
    text = _KNOWN_KEYS.sub(HIDDEN, text)
    text = _LOGIN.sub(HIDDEN, text)
    return _NAMED.sub(lambda found: found["name"] + found["middle"] + HIDDEN, text)


def arguments_without_secrets(arguments: Sequence[str]) -> list[str]:
    """A command line as it may be stored.

    Example:
        >>> arguments_without_secrets(["train", "--set", "trainer.hub_token=two words"])
        ['train', '--set', 'trainer.hub_token=[hidden]']
    """
    kept = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and value and is_secret_name(name.strip().rsplit(".", 1)[-1].lstrip("-")):
            kept.append(f"{name}={HIDDEN}")
        else:
            kept.append(without_secrets(argument))
    return kept


def _values_of_environment() -> list[str]:
    """Longest first, so that no key is cut up by one that it contains."""
    values = {
        value
        for name, value in os.environ.items()
        if is_secret_name(name) and len(value) >= SHORTEST_SECRET
    }
    return sorted(values, key=len, reverse=True)
