"""Rendering of pages: one Jinja environment with escaping on, and the filters templates may use.

Pages are single files without requests to anywhere. Only the viewer has a script, its own: a
content security policy in each page forbids any other.
"""

from __future__ import annotations

import base64
import functools
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rephrase_rl.reports import comparison_text, numbers
from rephrase_rl.visible_text import plain_text

if TYPE_CHECKING:
    from jinja2 import Environment

FILTERS = {
    "count": numbers.count,
    "total": numbers.total,
    "figure": numbers.figure,
    "reward": numbers.reward,
    "interval": numbers.interval,
    "duration": numbers.duration,
    "logp": numbers.logp,
    "moment": numbers.moment,
    "memory": numbers.memory,
    "fact": numbers.fact,
    "plain_text": plain_text,
    "amount": comparison_text.amount,
    "difference": comparison_text.difference,
    "median_time": comparison_text.median_time,
    "p_value": comparison_text.p_value,
    "points": comparison_text.points,
    "signed": comparison_text.signed,
}


def render_page(template: str, **values: Any) -> str:
    """Fill an HTML template; everything is escaped.

    Args:
        template: File name under ``templates/``.
        **values: What the template names; a name it uses and does not get is an error.

    Returns:
        The page.
    """
    return _environment().get_template(template).render(**values)


def render_markdown(template: str, **values: Any) -> str:
    """Fill a Markdown template; values go through its ``cell`` and ``fence`` filters instead."""
    return _environment().get_template(template).render(**values)


def embed_svg(svg: str) -> str:
    """Return an SVG as a data address, so that a page needs no second file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def query_value(text: str) -> str:
    """Encode a text as a value in the part of an address behind the question mark.

    Example:
        >>> query_value("a&b=c")
        'a%26b%3Dc'
    """
    # Half a surrogate pair has no encoding.
    return quote(text, safe="", errors="replace")


def markdown_cell(value: object) -> str:
    r"""Make a value safe inside a Markdown table or sentence: one line, no markup of its own.

    Hidden characters are labelled; an image, which would be fetched, is shown as text.

    Example:
        >>> markdown_cell("a|b")
        'a\\|b'
    """
    text = plain_text(" ".join(str(value).split()))
    escaped = re.sub(r"([\\`*_~\[\]|$])", r"\\\1", text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_fence(text: str, language: str = "") -> str:
    """Put a text into a fenced block whose fence is longer than any in the text.

    Hidden characters are labelled: a lone carriage return would end a line, and so the block.
    """
    text = plain_text(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _visible(value: object) -> object:
    """Label hidden characters in whatever a template writes; markup of filters is left alone."""
    return plain_text(value) if type(value) is str else value


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("rephrase_rl.reports", "templates"),
        autoescape=select_autoescape(
            enabled_extensions=("html.j2",), disabled_extensions=("md.j2",), default=True
        ),
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS)
    environment.filters["cell"] = markdown_cell
    environment.filters["query_value"] = query_value
    environment.filters["fence"] = markdown_fence
    environment.globals["budget_rows"] = comparison_text.BUDGET_ROWS
    environment.globals["percent"] = numbers.percent
    return environment
