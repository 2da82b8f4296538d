"""The graded cases under ``cases/``: one JSON object a line.

``id``, ``verifier`` (its name), ``gold``, ``completion`` (a text, or [text, times] pairs for long
ones), ``expected`` (a value, "unscorable", or "not right" where a time-out is as good as 0),
``origin``, and where there are any ``options``, ``settings`` of the verifier, ``adversarial``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "cases"
KINDS = ("choice", "math", "number", "text")


def cases_of(kind: str) -> list[dict[str, Any]]:
    lines = (FOLDER / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def completion_of(case: dict[str, Any]) -> str:
    parts = case["completion"]
    return parts if isinstance(parts, str) else "".join(text * times for text, times in parts)
