"""``--set a.b.0.c=value``: changes to a configuration from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from rephrase_rl.config.yaml_text import read_yaml
from rephrase_rl.secrecy import arguments_without_secrets, without_secrets

LONGEST_SHOWN = 200
"""So much of a faulty override is quoted."""


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Write every override into ``raw``, later ones over earlier ones.

    A part of the path names a key of a mapping, an index of a list, or an item of a list by its
    ``name``. Keys that do not exist are made; whether they are known is for validation to say. The
    value is YAML: ``1e-6`` is a number, ``null`` nothing, ``[a, b]`` a list.

    Args:
        raw: Configuration as read from YAML; changed in place.
        overrides: Texts of the form ``path=value``.

    Returns:
        One sentence per override that could not be applied.

    Example:
        >>> raw = {"data": [{"name": "gsm8k", "limit": 10}]}
        >>> apply_overrides(raw, ["data.gsm8k.limit=5"]), raw
        ([], {'data': [{'name': 'gsm8k', 'limit': 5}]})
    """
    faults = []
    for override in overrides:
        path, equals, text = override.partition("=")
        (shown,) = arguments_without_secrets([override])
        shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."
        parts = path.strip().split(".")
        if not equals or not all(parts):
            faults.append(
                f"--set {shown}: found no path=value; required: --set a.b.c=value; "
                "do this: write the field's path, an equals sign and the value"
            )
            continue
        try:
            value = read_yaml(text)
        except yaml.YAMLError:
            faults.append(
                f"--set {shown}: found text that is no YAML; required: a YAML value; do this: put "
                "text that holds special characters in quotes"
            )
            continue
        fault = _write(raw, parts, value)
        if fault:
            faults.append(f"--set {shown}: {fault}")
    return faults


def _write(raw: dict[str, Any], parts: Sequence[str], value: object) -> str | None:
    """Put ``value`` at the path; the fault in words if the path leads nowhere."""
    here: Any = raw
    for depth, part in enumerate(parts):
        written = ".".join(parts[:depth])
        is_last = depth == len(parts) - 1
        if isinstance(here, dict):
            if part == "0" and part not in here and not is_last:
                continue  # a lone item written in place of a list of one
            if is_last:
                here[part] = value
            elif here.get(part) is None:
                here[part] = {}
            key: str | int = part
        elif isinstance(here, list):
            index = _index(here, part)
            if index is None:
                return _no_such_item(written, part, here)
            if is_last:
                here[index] = value
            key = index
        else:
            return (
                f"found {without_secrets(repr(here))} at {written}; required: a mapping or a list "
                f"there; do this: set {written} as a whole"
            )
        here = here[key]
    return None


def _index(items: list[Any], part: str) -> int | None:
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == part:
            return index
    if part.isdecimal() and int(part) < len(items):
        return int(part)
    return None


def _no_such_item(written: str, part: str, items: list[Any]) -> str:
    known = [str(index) for index in range(len(items))]
    known += [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item]
    return (
        f"found `{part}` after {written}, which is a list of {len(items)}; required: the index or "
        f"name of an item; do this: write one of {', '.join(known) or '(it is empty)'}"
    )
