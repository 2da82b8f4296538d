"""The figures of a comparison: curves with bands over seeds, and the trilemma.

matplotlib is imported inside the functions: reading a run must not pay for drawing.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.reports.bands import AXES
from rephrase_rl.reports.curves import plain_svg, share_axis
from rephrase_rl.reports.figures_style import INK, MARKERS, MUTED, RC, SERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rephrase_rl.reports.bands import Axis, Band, CurvePanel
    from rephrase_rl.reports.trilemma import Point, Trilemma

PANEL_IN = (3.7, 2.35)
"""Width and height of one panel: its letters can be read where it fills a telephone's width."""
LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN = 0.52, 0.12, 0.33, 0.5
"""Room around a panel for its ticks, label and title."""
LEGEND_IN = 0.3
"""Height of one row of a legend."""
TRILEMMA_IN = (4.6, 4.0)
AXIS_LABELS: dict[Axis, str] = {
    "steps": "optimiser step",
    "tokens": "tokens sampled in training",
    "time": "minutes of training",
}
LONGEST_NAME = 30
"""Characters of an arm's name in a legend."""
DASHES = ("-", "--", ":")
"""Lines of the first, second and third half-dozen of arms, whose colours repeat."""


class PanelFigure(NamedTuple):
    """One panel as a figure of its own."""

    title: str
    axis: str
    svg: str


class ArmStyle(NamedTuple):
    """How an arm is drawn everywhere."""

    color: str
    marker: str
    dash: str


def arm_style(place: int) -> ArmStyle:
    """Colour, marker and line of the arm at a place in the comparison's order."""
    count = len(SERIES)
    return ArmStyle(
        SERIES[place % count],
        MARKERS[place % len(MARKERS)],
        DASHES[place // count % len(DASHES)],
    )


def draw_panels(panels: Sequence[CurvePanel], arms: Sequence[str]) -> list[PanelFigure]:
    """Draw every panel by itself, without a legend, for a page that has its own."""
    figures = []
    for panel in panels:

        def fill(axes: Sequence[Any], panel: CurvePanel = panel) -> None:
            _draw_panel(axes[0], panel, arms)

        figures.append(PanelFigure(panel.title, panel.axis, _render(1, 1, fill)))
    return figures


def draw_curves(panels: Sequence[CurvePanel], arms: Sequence[str]) -> str:
    """Draw all panels in one figure: a row for each quantity, a column for each axis."""
    if not panels:
        return ""
    titles = list(dict.fromkeys(panel.title for panel in panels))
    by_place = {(panel.title, panel.axis): panel for panel in panels}
    cells = [by_place.get((title, axis)) for title in titles for axis in AXES]

    def fill(axes: Sequence[Any]) -> None:
        for ax, panel in zip(axes, cells, strict=True):
            if panel is None:
                ax.remove()
            else:
                _draw_panel(ax, panel, arms)
        _draw_legend(axes[0].figure, arms)

    width = PANEL_IN[0] * len(AXES)
    return _render(len(titles), len(AXES), fill, legend_rows=_legend_rows(arms, width))


def draw_trilemma(trilemma: Trilemma, arms: Sequence[str]) -> str:
    """Draw gain on hard problems over change elsewhere: small points are runs, large ones arms."""
    if not trilemma.points:
        return ""
    from matplotlib.ticker import MaxNLocator

    def fill(axes: Sequence[Any]) -> None:
        ax = axes[0]
        for place, arm in enumerate(arms):
            _draw_points(ax, [p for p in trilemma.points if p.arm == arm], arm_style(place))
        ax.axhline(0, color=MUTED, linewidth=0.7)
        ax.axvline(0, color=MUTED, linewidth=0.7)
        ax.set_xlabel(f"change on {_named(trilemma.general)} (points; left of 0: lost)")
        ax.set_ylabel(f"gain on {_named(trilemma.hard)} (points)")
        ax.grid(visible=True, axis="both")
        ax.margins(0.08)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=6))
        ax.set_title("learned and kept ↗", loc="right", color=MUTED, fontsize=8, weight="normal")
        _draw_legend(ax.figure, arms)

    rows = _legend_rows(arms, TRILEMMA_IN[0])
    return _render(1, 1, fill, size=TRILEMMA_IN, legend_rows=rows, left=0.6, top=0.25)


def _draw_points(ax: Any, points: Sequence[Point], style: ArmStyle) -> None:
    """Runs with whiskers, and the arm's mean over them."""
    if not points:
        return
    for point in points:
        ax.errorbar(
            100 * point.general.mean,
            100 * point.hard.mean,
            xerr=_whiskers(point.general),
            yerr=_whiskers(point.hard),
            color=style.color,
            marker=style.marker,
            markersize=3.5,
            alpha=0.55,
            elinewidth=0.8,
            capsize=1.5,
        )
    count = len(points)
    ax.plot(
        [100 * sum(p.general.mean for p in points) / count],
        [100 * sum(p.hard.mean for p in points) / count],
        color=style.color,
        marker=style.marker,
        markersize=9,
        markeredgecolor=INK,
        markeredgewidth=0.8,
        linestyle="none",
    )


def _whiskers(change: Any) -> list[list[float]] | None:
    if change.low is None or change.high is None:
        return None
    below, above = change.mean - change.low, change.high - change.mean
    return [[100 * max(0.0, below)], [100 * max(0.0, above)]]


def _draw_panel(ax: Any, panel: CurvePanel, arms: Sequence[str]) -> None:
    for band in panel.bands:
        _draw_band(ax, band, arm_style(arms.index(band.arm)), dots=panel.dots)
    ax.set_title(panel.title)
    ax.set_xlabel(AXIS_LABELS[panel.axis])
    if panel.share:
        share_axis(ax)


def _draw_band(ax: Any, band: Band, style: ArmStyle, *, dots: bool) -> None:
    if band.num_seeds > 1:
        ax.fill_between(band.xs, band.low, band.high, color=style.color, alpha=0.16, linewidth=0)
    ax.plot(
        band.xs,
        band.mean,
        color=style.color,
        linestyle=style.dash,
        linewidth=1.5,
        marker=style.marker if dots else None,
        markersize=3.5,
    )


def _legend_columns(arms: Sequence[str], width_in: float) -> int:
    """As many as the longest name allows, its letters and its sign counted in inches."""
    longest = min(max(map(len, arms)), LONGEST_NAME)
    return max(1, min(len(arms), int(width_in / (0.6 + 0.075 * longest))))


def _legend_rows(arms: Sequence[str], width_in: float) -> int:
    return -(-len(arms) // _legend_columns(arms, width_in))


def _draw_legend(figure: Any, arms: Sequence[str]) -> None:
    """One legend for the whole figure, along its lower edge."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=style.color,
            marker=style.marker,
            linestyle=style.dash,
            markersize=5,
            label=arm[:LONGEST_NAME],
        )
        for arm, style in ((arm, arm_style(place)) for place, arm in enumerate(arms))
    ]
    columns = _legend_columns(arms, figure.get_figwidth())
    figure.legend(handles=handles, loc="lower center", ncols=columns)


def _render(
    rows: int,
    columns: int,
    fill: Callable[[Sequence[Any]], None],
    *,
    size: tuple[float, float] = PANEL_IN,
    legend_rows: int = 0,
    left: float = LEFT_IN,
    top: float = TOP_IN,
) -> str:
    """Lay out a grid of panels, let ``fill`` draw into it and return SVG text.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        fill: Draws into the axes, row by row.
        size: Width and height of one panel in inches.
        legend_rows: Rows of the legend below.
        left: Room left of each panel, inches.
        top: Room above each panel, inches.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import EngFormatter, MaxNLocator

    foot = LEGEND_IN * legend_rows
    width, height = size[0] * columns, size[1] * rows + foot
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        figure = Canvas(figsize=(width, height))
        FigureCanvasSVG(figure)
        # Margins by hand, in inches: matplotlib's layout engines draw everything twice more.
        figure.subplots_adjust(
            left=left / width,
            right=1 - RIGHT_IN / width,
            top=1 - top / height,
            bottom=(BOTTOM_IN + foot) / height,
            wspace=(left + RIGHT_IN) / (size[0] - left - RIGHT_IN),
            hspace=(top + BOTTOM_IN) / (size[1] - top - BOTTOM_IN),
        )
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for ax in axes:
            ax.grid(visible=False, axis="x")
            ax.tick_params(labelcolor=MUTED)
        fill(axes)
        for ax in axes:
            label = ax.get_xlabel()
            if label in AXIS_LABELS.values():
                whole = label != AXIS_LABELS["time"]
                ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=whole))
            if label == AXIS_LABELS["tokens"]:
                ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg")
    return plain_svg(buffer.getvalue())


def _named(benchmarks: Sequence[str]) -> str:
    return " + ".join(benchmarks)[:LONGEST_NAME]
