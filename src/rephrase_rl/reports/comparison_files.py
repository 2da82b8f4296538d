"""What a comparison leaves in its folder: page, tables, JSON and figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.reports import pages
from rephrase_rl.reports.bands import AXES, left_out
from rephrase_rl.reports.comparison_figures import (
    AXIS_LABELS,
    arm_style,
    draw_curves,
    draw_panels,
    draw_trilemma,
)
from rephrase_rl.reports.figures_style import DARK, darken
from rephrase_rl.runs.atomic import write_bytes, write_text
from rephrase_rl.runs.jsonl import encode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rephrase_rl.records import JSON
    from rephrase_rl.reports.bands import CurvePanel
    from rephrase_rl.reports.trilemma import Trilemma


@dataclass(frozen=True, slots=True)
class ComparisonPaths:
    """What ``write_comparison`` wrote; a figure is None if the runs have nothing to draw."""

    index: Path
    comparison_json: Path
    comparison_markdown: Path
    curves: Path | None
    trilemma: Path | None


def write_files(
    out: Path, data: dict[str, JSON], panels: Sequence[CurvePanel], trilemma: Trilemma
) -> ComparisonPaths:
    """Write everything; figures of an earlier comparison that have no successor go.

    Args:
        out: Folder; made if needed.
        data: The comparison as plain JSON.
        panels: Its curves.
        trilemma: Its points.
    """
    names = [arm["label"] for arm in data["arms"]]
    curves, picture = draw_curves(panels, names), draw_trilemma(trilemma, names)
    paths = ComparisonPaths(
        index=out / "index.html",
        comparison_json=out / "comparison.json",
        comparison_markdown=out / "comparison.md",
        curves=out / "curves.svg" if curves else None,
        trilemma=out / "trilemma.svg" if picture else None,
    )
    write_bytes(paths.comparison_json, encode(data, indent=2) + b"\n")
    write_text(
        paths.comparison_markdown, pages.render_markdown("comparison.md.j2", comparison=data)
    )
    for name, svg in (("curves", curves), ("trilemma", picture)):
        for file, text in ((f"{name}.svg", svg), (f"{name}-dark.svg", darken(svg))):
            if svg:
                write_text(out / file, text)
            else:
                (out / file).unlink(missing_ok=True)
    write_text(
        paths.index,
        pages.render_page(
            "comparison.html.j2",
            comparison=data,
            figures=[
                (figure, pages.embed_svg(figure.svg), pages.embed_svg(darken(figure.svg)))
                for figure in draw_panels(panels, names)
            ],
            axes=[(axis, AXIS_LABELS[axis]) for axis in AXES],
            left_out=left_out(panels),
            trilemma_light=pages.embed_svg(picture),
            trilemma_dark=pages.embed_svg(darken(picture)),
            styles=[_style(place) for place in range(len(names))],
        ),
    )
    return paths


def _style(place: int) -> dict[str, str]:
    """Colours of an arm's mark in the page's legend, by day and by night."""
    style = arm_style(place)
    signs = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚"}
    return {"color": style.color, "dark": DARK[style.color], "sign": signs[style.marker]}
