"""Puts every page that the index does not name below its heading for further guides.

A new page under docs/ is then part of the site without a change here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PLACE = "LEFTOVER-PAGES"


def add_leftovers(app: Sphinx, name: str, source: list[str]) -> None:
    """Replace the place in the index by the names of pages that it does not have."""
    if name != "index":
        return
    named = {line.strip() for line in source[0].splitlines()}
    pages = sorted(path.stem for path in Path(app.srcdir).glob("*.md"))
    leftover = [page for page in pages if page not in named and page != "index"]
    source[0] = source[0].replace(PLACE, "\n".join(leftover))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", add_leftovers)
    return {"parallel_read_safe": True}
