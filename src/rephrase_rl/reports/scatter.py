"""Panels of points on common axes, such as hard gain against retention loss: data in, SVG out.

For figures over many runs; those of one run are in ``curves.py``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rephrase_rl.reports.curves import plain_svg
from rephrase_rl.reports.figures_style import MARKERS, MUTED, RC, SERIES

PANEL_WIDTH_IN, PANEL_HEIGHT_IN, LEGEND_IN = 3.6, 2.9, 1.5
MOST_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one name in one panel."""

    name: str
    """Decides colour and marker, the same in all panels."""
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot."""

    title: str
    points: tuple[Points, ...]


def draw_panels(
    panels: Sequence[Panel],
    x_label: str,
    y_label: str,
    *,
    joined: bool,
    ranked: Sequence[str] = (),
) -> str:
    """Draw panels with one legend.

    Args:
        panels: At least one.
        x_label: Of all panels.
        y_label: Of all panels.
        joined: Whether the points of a name are joined in their order.
        ranked: Names that look alike in every picture that ranks them so. The first is drawn large,
            behind all others.

    Returns:
        SVG text, the same for the same data.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    shown = {points.name: None for panel in panels for points in panel.points}
    names = [*ranked, *(name for name in shown if name not in ranked)]
    styles = {name: _style(i, joined) for i, name in enumerate(names)}
    if ranked:
        styles[ranked[0]] |= {"markersize": 8, "zorder": 1}
    columns = min(MOST_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = (PANEL_WIDTH_IN * columns + LEGEND_IN, PANEL_HEIGHT_IN * rows)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
        for ax, panel in zip(axes, panels, strict=False):
            for points in panel.points:
                ax.plot(points.x, points.y, **styles[points.name])
            ax.set_title(panel.title)
            ax.set_xlabel(x_label)
            ax.set_ylabel(y_label)
            ax.tick_params(labelcolor=MUTED)
        for ax in axes[len(panels) :]:
            ax.remove()
        handles = [
            matplotlib.lines.Line2D([], [], label=name, **styles[name])
            for name in names
            if name in shown
        ]
        figure.legend(handles=handles, loc="outside right upper")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg")
    return plain_svg(buffer.getvalue())


def _style(index: int, joined: bool) -> dict[str, Any]:
    # As many markers as colours: the markers are shifted after each round, so that no two agree.
    marker = MARKERS[(index + index // len(SERIES)) % len(MARKERS)]
    return {
        "color": SERIES[index % len(SERIES)],
        "marker": marker,
        "markersize": 5,
        "alpha": 0.8,
        "linestyle": "-" if joined else "",
        "linewidth": 1.0,
    }
