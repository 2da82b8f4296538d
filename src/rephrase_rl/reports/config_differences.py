"""In what two or more runs differ: configuration, code, data, templates, machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from rephrase_rl.reports import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import JSON

ABSENT = "not set"
MANIFEST_PARTS = (
    *(
        "git",
        "versions",
        "environment",
        "hardware",
        "policy",
        "own_code",
        "data",
        "templates",
        "seed",
    ),
)
"""Manifest entries that are compared; command and start time always differ."""


class Difference(NamedTuple):
    """One entry in which runs differ."""

    name: str
    """Dotted path, such as ``guidance.gate``."""
    values: tuple[str, ...]
    """Per run, in the order given."""


def config_differences(configs: Sequence[JSON]) -> list[Difference]:
    """Return the configuration entries that are not the same in every run, by name."""
    return _differences([flatten(config) for config in configs])


def manifest_differences(manifests: Sequence[Mapping[str, JSON]]) -> list[Difference]:
    """Return the facts about code, versions, machine, data and seed that are not the same."""
    return _differences(
        [flatten({part: m.get(part) for part in MANIFEST_PARTS}) for m in manifests]
    )


def flatten(data: JSON, prefix: str = "") -> dict[str, JSON]:
    """Return nested mappings as one mapping of dotted names; lists stay whole.

    Example:
        >>> flatten({"a": {"b": 1, "c": [2]}, "d": {}})
        {'a.b': 1, 'a.c': [2], 'd': {}}
    """
    if not isinstance(data, Mapping) or not data:
        return {prefix: data} if prefix else {}
    flat: dict[str, JSON] = {}
    for key, value in data.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _differences(flats: Sequence[Mapping[str, JSON]]) -> list[Difference]:
    names = sorted({name for flat in flats for name in flat})
    found = []
    for name in names:
        # Told apart by repr, not as shown: rounding and "1" beside 1 would hide a difference.
        if len({repr(flat[name]) if name in flat else None for flat in flats}) > 1:
            values = tuple(_shown(flat[name]) if name in flat else ABSENT for flat in flats)
            found.append(Difference(name, values))
    return found


def _shown(value: JSON) -> str:
    """Show null as such (in a configuration it is a value, not a gap) and floats in full."""
    if value is None:
        return "null"
    return repr(value) if isinstance(value, float) else numbers.fact(value)
