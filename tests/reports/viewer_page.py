"""What the viewer's page holds, read as its script reads it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any, NamedTuple


class ViewerPage(NamedTuple):
    data: dict[str, Any]
    rows: list[dict[str, Any]]
    problems: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    groups: list[dict[str, Any]]


def unpack(text: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(text)))


def block(html: str, name: str) -> Any:
    (content,) = re.findall(
        rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.DOTALL
    )
    return json.loads(content)


def read_page(path: Path) -> ViewerPage:
    html = path.read_text(encoding="utf-8")
    data = block(html, "viewer-data")
    index = unpack(data["index"])
    groups = [group for piece in block(html, "viewer-groups") for group in unpack(piece)]
    return ViewerPage(data, index["rows"], index["problems"], index["texts"], groups)
