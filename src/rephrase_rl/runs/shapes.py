"""What the small files of a run directory hold, checked as they are read.

A directory may come from another version, another program or a stranger. Readers rely on these
types; a value of another one is told here, with its place, and not met in the middle of a page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from rephrase_rl.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.records import JSON

Shape: TypeAlias = "type | dict[str, Any] | tuple[type | dict[str, Any], ...]"
"""A type, the entries of an object, or several of these; ``"*"`` stands for all entries that are
not named. Every entry may be absent or null."""

MAX_DEPTH = 50
"""Deepest nesting: pages write values out by recursion."""

NUMBER = (int, float)
INTERVAL: dict[str, Any] = {"mean": NUMBER, "low": NUMBER, "high": NUMBER, "n_clusters": int}
COUNTS: dict[str, Any] = {"*": NUMBER}

MANIFEST: dict[str, Any] = {
    "command": (str, list),
    "seed": (int, str),
    "started_at": str,
    "method": str,
    "model": str,
    "config_hash": str,
    "git": {"commit": str, "dirty": bool, "reason": str},
    "versions": {"*": str},
    "hardware": {"cpu": str, "cores": int, "memory_bytes": int, "gpus": list, "system": str},
    "deviations": (str, list, dict),
}
SUMMARY: dict[str, Any] = {"wall_s": NUMBER, "generated_tokens": int}
EVALUATION: dict[str, Any] = {
    "num_problems": int,
    "samples_per_problem": int,
    "avg_at_k": INTERVAL,
    "avg_at_k_by": {"*": INTERVAL},
    "by_label": {"*": {"*": INTERVAL}},
    "pass_at_k": {"*": INTERVAL},
    "pass_hat_k": {"*": INTERVAL},
    "maj_at_k": {"*": INTERVAL},
    "unscorable": (*NUMBER, COUNTS),
    "generated_tokens": int,
    "protocol": {"samples_per_problem": int},
    "utilisation": {
        **dict.fromkeys(("num_problems", "num_hard_problems", "samples_per_problem", "step"), int),
        **dict.fromkeys(("solved", "base_solved", "solved_gain"), INTERVAL),
        **dict.fromkeys(("accuracy", "base_accuracy", "accuracy_gain"), INTERVAL),
    },
}


def check_shape(value: JSON, shape: Shape, file: Path) -> None:
    """Compare what a file holds with what readers rely on.

    Raises:
        CheckpointError: With every place that differs.
    """
    faults = _faults(value, shape, "")
    if _is_deeper(value, MAX_DEPTH):
        faults.append(f"lists and objects in each other, deeper than {MAX_DEPTH}")
    if faults:
        raise CheckpointError(
            f"{file} is not what a run writes: {'; '.join(faults[:5])}; it was changed from "
            "outside or written by another version: restore it from a copy"
        )


def _faults(value: JSON, shape: Shape, where: str) -> list[str]:
    if value is None:
        return []
    choices = shape if isinstance(shape, tuple) else (shape,)
    types = tuple(dict if isinstance(choice, dict) else choice for choice in choices)
    is_bool = isinstance(value, bool) and bool not in types
    if not isinstance(value, types) or is_bool or _is_vast(value):
        names = " or ".join(choice.__name__ for choice in types)
        found = f"{type(value).__name__} ({str(value)[:40]!r})"
        return [f"{where or 'the whole'} is {found}, required: {names}"]
    entries = next((choice for choice in choices if isinstance(choice, dict)), {})
    if not isinstance(value, dict):
        return []
    named = [(key, entries.get(key, entries.get("*"))) for key in value]
    return [
        fault
        for key, part in named
        if part is not None
        for fault in _faults(value[key], part, f"{where}.{key}" if where else str(key))
    ]


def _is_vast(value: JSON) -> bool:
    """Whether a number is too large for a float, which pages make of it."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return (is_int and abs(value) > 2**63) or (isinstance(value, float) and math.isinf(value))


def _is_deeper(value: JSON, depth: int) -> bool:
    layer = [value]
    for _ in range(depth + 1):
        layer = [
            item
            for part in layer
            if isinstance(part, Mapping | list)
            for item in (part.values() if isinstance(part, Mapping) else part)
        ]
        if not layer:
            return False
    return True
