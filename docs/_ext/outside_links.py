"""Lets pages link to files outside docs/ as they do on GitHub, and takes whole files in.

A page may link to ``../results/x/card.md`` or hold an include of ``../CHANGELOG.md``. In the site a
file that is a page of its own is linked as that page, any other one is offered for download, and a
folder keeps its name without a link.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "recipes/README.md": "recipes.md",
}
"""File of the repository -> page that has its text."""

_INCLUDE = re.compile(r"```\{include\} (\S+)\n```\n?")
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_CODE = re.compile(r"(```.*?```|``[^`]*``|`[^`\n]*`)", re.DOTALL)


def expand(app: Sphinx, name: str, source: list[str]) -> None:
    """Take included files in, and turn links of the page into those of the site."""
    docs = Path(app.srcdir)
    page = docs / f"{name}.md"
    text = source[0]
    for match in _INCLUDE.finditer(source[0]):
        file = (page.parent / match[1]).resolve()
        app.env.note_dependency(str(file))
        taken = relinked(file.read_text(encoding="utf-8"), file.parent, page.parent, docs)
        text = text.replace(match[0], taken)
    if "generated" not in page.parts:
        text = relinked(text, page.parent, page.parent, docs)
    source[0] = text


def relinked(text: str, base: Path, folder: Path, docs: Path) -> str:
    """Rewrite the links of a text.

    Args:
        text: Markdown.
        base: Folder that its links start from.
        folder: Folder of the page that it is part of.
        docs: Folder of the site's sources.
    """
    codes: list[str] = []

    def hide(match: re.Match[str]) -> str:
        codes.append(match[0])
        return f"\x00{len(codes) - 1}\x00"

    def turn(match: re.Match[str]) -> str:
        title, link = match[1], match[2]
        target, sign, anchor = link.partition("#")
        if not target or re.match(r"[a-z]+:", link):
            return match[0]
        file = (base / target).resolve()
        own = PAGES.get(os.path.relpath(file, docs.parent))
        if own is not None:
            file = docs / own
        relative = os.path.relpath(file, folder)
        if docs in file.parents:
            return f"[{title}]({relative}{sign}{anchor})"
        return title if file.is_dir() else f"[{title}](path:{relative})"

    turned = _LINK.sub(turn, _CODE.sub(hide, text))
    return re.sub(r"\x00(\d+)\x00", lambda match: codes[int(match[1])], turned)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
