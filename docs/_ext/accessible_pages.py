"""Mends what Sphinx leaves out for readers without a mouse or a screen.

Captions of the navigation are headings without a level, and code and tables that scroll cannot be
reached by the keyboard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

NAVIGATION = "furo_navigation_tree"
AFTER_THE_THEME = 900
"""Priority: the theme fills its part of the context at 500."""


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: object) -> None:
    """Add what is missing to one page."""
    if NAVIGATION in context:
        context[NAVIGATION] = context[NAVIGATION].replace(
            'role="heading"', 'role="heading" aria-level="2"'
        )
    if "body" in context:
        context["body"] = (
            context["body"]
            .replace("<pre>", '<pre tabindex="0">')
            .replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", mend, priority=AFTER_THE_THEME)
    return {"parallel_read_safe": True}
