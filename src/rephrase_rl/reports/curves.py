"""The figures, drawn with matplotlib into SVG text; the same run gives the same bytes.

matplotlib is imported inside the functions: reading a run must not pay for drawing.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rephrase_rl.reports import series
from rephrase_rl.reports.figures_style import MARKERS, MUTED, RC, SERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import StepRecord
    from rephrase_rl.reports.evaluations import EvaluationRow

COLUMNS = 2
FIGURE_WIDTH_IN = 8.6
ROW_HEIGHT_IN = 2.4
TITLE_IN = 0.33
"""Room above each panel for its title."""
FOOT_IN = 0.52
"""Room below each panel for ticks and label."""
SIDE_IN = 0.62
"""Room left of the figure for ticks and label."""


class Figure(NamedTuple):
    """A drawn figure."""

    svg: str
    shown: tuple[str, ...]
    """Titles of the panels, in order."""
    left_out: tuple[str, ...]
    """Titles of the panels for which the run has no figure."""


def draw_run(steps: Sequence[StepRecord], evaluations: Sequence[EvaluationRow]) -> Figure:
    """Draw the curves of one run: evaluations first, then the panels of ``series.PANELS``."""
    shown = [panel for panel in series.PANELS if _panel_has_figures(panel, steps)]
    left_out = [panel.title for panel in series.PANELS if panel not in shown]
    titles = [panel.title for panel in shown]
    if evaluations:
        titles.insert(0, "Evaluation")
    else:
        left_out.insert(0, "Evaluation")
    if not titles:
        return Figure("", (), tuple(left_out))

    def fill(axes: Sequence[Any]) -> None:
        if evaluations:
            _draw_evaluations(axes[0], evaluations)
        for ax, panel in zip(axes[bool(evaluations) :], shown, strict=True):
            _draw_panel(ax, panel, steps)

    rows = -(-len(titles) // COLUMNS)
    return Figure(render_grid(rows, len(titles), fill), tuple(titles), tuple(left_out))


def _panel_has_figures(panel: series.Panel, steps: Sequence[StepRecord]) -> bool:
    return any(series.has_figures(series.values_of(steps, metric)) for metric, _ in panel.lines)


def _draw_panel(ax: Any, panel: series.Panel, steps: Sequence[StepRecord]) -> None:
    """Draw one panel: every value faintly, its moving average on top."""
    xs = [record.step for record in steps]
    window = series.smoothing_window(len(steps))
    for index, (metric, label) in enumerate(panel.lines):
        values = series.values_of(steps, metric)
        if series.has_figures(values):
            draw_line(ax, xs, values, window, SERIES[index], label)
    ax.set_title(panel.title)
    ax.set_xlabel("step")
    ax.set_ylabel(panel.unit)
    if panel.share:
        share_axis(ax)
    if len(panel.lines) > 1:
        ax.legend(loc="best")


def draw_line(
    ax: Any,
    xs: Sequence[float],
    values: Sequence[float],
    window: int,
    color: str,
    label: str,
) -> None:
    """Draw every value faintly and its moving average on top; long lines as their outline."""
    if window > 1:
        faint = series.outline(values, series.MOST_POINTS)
        ax.plot(
            [xs[i] for i in faint],
            [values[i] for i in faint],
            color=color,
            alpha=0.25,
            linewidth=0.7,
        )
    places = series.evenly_spaced(range(len(xs)), min(len(xs), series.MOST_POINTS))
    smooth = series.moving_average(values, window, places)
    marker = "." if len(xs) <= 30 else None
    ax.plot(
        [xs[i] for i in places],
        smooth,
        color=color,
        linewidth=1.6,
        label=label,
        marker=marker,
        markersize=4,
    )


def _draw_evaluations(ax: Any, evaluations: Sequence[EvaluationRow]) -> None:
    """Draw avg@k of every benchmark with its interval."""
    names = sorted({row.benchmark for row in evaluations})
    for index, name in enumerate(names):
        rows = [row for row in evaluations if row.benchmark == name]
        _draw_estimates(ax, [row.step for row in rows], rows, index, name)
    ax.set_title("Evaluation")
    ax.set_xlabel("step")
    ax.set_ylabel("avg@k")
    share_axis(ax)
    ax.legend(loc="best")


def _draw_estimates(
    ax: Any, xs: Sequence[float], rows: Sequence[EvaluationRow], index: int, label: str
) -> None:
    """Draw estimates with whiskers; an evaluation without a scored sample is left out."""
    points = [
        (x, row.avg_at_k.mean, row.avg_at_k)
        for x, row in zip(xs, rows, strict=True)
        if row.avg_at_k.mean is not None
    ]
    if not points:
        return
    below = [mean - (mean if r.low is None else r.low) for _, mean, r in points]
    above = [(mean if r.high is None else r.high) - mean for _, mean, r in points]
    ax.errorbar(
        [x for x, _, _ in points],
        [mean for _, mean, _ in points],
        yerr=[[max(0.0, value) for value in below], [max(0.0, value) for value in above]],
        color=SERIES[index % len(SERIES)],
        marker=MARKERS[index % len(MARKERS)],
        markersize=4,
        linewidth=1.4,
        elinewidth=0.9,
        capsize=2.0,
        label=label,
    )


def share_axis(ax: Any) -> None:
    """Let the axis run from 0 to 1."""
    ax.set_ylim(-0.04, 1.04)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0])


def render_grid(rows: int, panels: int, fill: Any) -> str:
    """Lay out a grid of axes, let ``fill`` draw into it and return SVG text."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import EngFormatter, MaxNLocator

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        height = ROW_HEIGHT_IN * rows
        figure = Canvas(figsize=(FIGURE_WIDTH_IN, height))
        # Margins by hand, in inches: matplotlib's layout engines draw everything twice more.
        plot_height = ROW_HEIGHT_IN - TITLE_IN - FOOT_IN
        figure.subplots_adjust(
            left=SIDE_IN / FIGURE_WIDTH_IN,
            right=1 - 0.1 / FIGURE_WIDTH_IN,
            top=1 - TITLE_IN / height,
            bottom=FOOT_IN / height,
            wspace=0.22,
            hspace=(TITLE_IN + FOOT_IN) / plot_height,
        )
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        fill(axes[:panels])
        for ax in axes[:panels]:
            ax.grid(visible=False, axis="x")
            ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            for axis in (ax.xaxis, ax.yaxis):
                if axis.get_label_text().startswith("tokens"):
                    axis.set_major_formatter(EngFormatter(sep=""))
            ax.tick_params(labelcolor=MUTED)
        for ax in axes[panels:]:
            ax.remove()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg")
    return plain_svg(buffer.getvalue())


def plain_svg(svg: str) -> str:
    """Remove document type and metadata: date and version make equal runs differ."""
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*", "", svg)
    return re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
