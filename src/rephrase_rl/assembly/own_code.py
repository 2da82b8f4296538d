"""Which code of the user's own a run rests on, so that two versions of a block are told apart."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.config import config_to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rephrase_rl.config import RunConfig
    from rephrase_rl.records import JSON

NAMES = ("target", "verifier", "check")
"""Fields that may hold ``package.module:name`` or ``path/to/file.py:name``."""


def own_code(config: RunConfig) -> dict[str, JSON]:
    """Module or file that a configuration names -> SHA-256 (hex) of that file; None: not found.

    What it imports is not followed.
    """
    places = {target.partition(":")[0] for target in _targets(config_to_plain(config))}
    return {place: _hash(place) for place in sorted(places)}


def _targets(value: JSON) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in NAMES and isinstance(item, str) and ":" in item:
                yield item
            else:
                yield from _targets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _targets(item)


def _hash(place: str) -> str | None:
    file = Path(place)
    if not place.endswith(".py"):
        try:
            spec = importlib.util.find_spec(place)
        except (ImportError, ValueError):
            return None
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
