"""What earlier runs on the same machine measured, one JSON line each, and what has changed since.

A line belongs to a commit. Lines from a work tree with changes are kept but never compared with:
what they measured is in no commit.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from measuring import Figure

WINDOW = 5
"""Lines whose median a run is compared with."""
LIMIT = 0.15
"""Share by which a figure may differ before it counts as changed."""

Verdict = Literal["regression", "improvement", "within noise", "new"]


class Change(NamedTuple):
    """One figure beside those of earlier runs."""

    name: str
    now: Figure
    before: float | None
    """Median of the last lines; None: none of them has this figure."""
    lines: int
    """Lines behind ``before``."""
    share: float
    """How much of ``before`` it is worse by; below 0: better."""
    verdict: Verdict


def machine_of(about: Mapping[str, Any]) -> str:
    """Name of a machine's file: CPU model and the cores that the run may use.

    Example:
        >>> machine_of({"hardware": {"cpu": "AMD EPYC 9R14 (2.6 GHz)", "cores": 2}})
        'amd-epyc-9r14-2-6-ghz-2-cores'
    """
    hardware = about["hardware"]
    return re.sub(r"[^a-z0-9]+", "-", f"{hardware['cpu']} {hardware['cores']} cores".lower())


def line_of(about: Mapping[str, Any], form: str, figures: Mapping[str, Figure]) -> dict[str, Any]:
    """One run as a line."""
    git = about["git"]
    return {
        "started_at": about["started_at"],
        "commit": git["commit"],
        "dirty": git["dirty"],
        "form": form,
        "hardware": about["hardware"],
        "versions": about["versions"],
        "figures": dict(figures),
    }


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Every line, oldest first; a machine without a file has none."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def append_line(file: Path, line: Mapping[str, Any]) -> None:
    """Add a run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(json.dumps(line, sort_keys=True) + "\n")


def compare(
    figures: Mapping[str, Figure], lines: Sequence[Mapping[str, Any]], form: str
) -> list[Change]:
    """Set each figure beside the median of the last lines of the same form that have it."""
    known = [line for line in lines if line["form"] == form and line["dirty"] is False]
    return [
        _change(name, now, [x["figures"][name]["median"] for x in known if name in x["figures"]])
        for name, now in figures.items()
    ]


def _change(name: str, now: Figure, earlier: Sequence[float]) -> Change:
    last = earlier[-WINDOW:]
    if not last:
        return Change(name, now, None, 0, 0.0, "new")
    before = statistics.median(last)
    lower = now["better"] == "lower"
    share = (now["median"] - before) / before * (1 if lower else -1)
    # One slow repetition is noise: even the best of them has to be worse, or the worst better.
    best, worst = (now["low"], now["high"]) if lower else (now["high"], now["low"])
    sign = 1 if lower else -1
    verdict: Verdict = "within noise"
    if share > LIMIT and sign * (best - before) > 0:
        verdict = "regression"
    elif share < -LIMIT and sign * (worst - before) < 0:
        verdict = "improvement"
    return Change(name, now, before, len(last), share, verdict)
