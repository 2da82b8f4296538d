"""The figure of a mining job: how its pass rates are spread."""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports.curves import render_grid, share_axis
from rephrase_rl.reports.figures_style import SERIES
from rephrase_rl.runs.atomic import write_text
from rephrase_rl.runs.jsonl import decode, read_lines

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rephrase_rl.records import JSON
    from rephrase_rl.statistics import Bin

FIGURE = "pass_rates.svg"


def write_pass_rate_figure(folder: str | os.PathLike[str]) -> Path:
    """Draw the pass rates of a finished mining job into its folder.

    Args:
        folder: What ``rephrase-rl mine`` wrote.

    Returns:
        The figure, ``pass_rates.svg``.

    Raises:
        CheckpointError: There is no finished mining job.
    """
    # Here and not above: the intervals beside it import scipy, which a report needs for nothing.
    from rephrase_rl.statistics import pass_rate_histogram

    path = Path(folder)
    if not (path / "summary.json").is_file():
        raise CheckpointError(
            f"{path} has no summary.json; required: the folder of a finished `rephrase-rl mine`; "
            "run it again with the same --out to finish it"
        )
    summary = decode((path / "summary.json").read_bytes())
    rates = [_rate(line["pass_rate"]) for line in read_lines(path / "problems.jsonl")]
    bins = pass_rate_histogram(rates, summary["samples_per_problem"])
    write_text(path / FIGURE, draw_pass_rates(bins, (summary["low"], summary["high"])))
    return path / FIGURE


def draw_pass_rates(bins: Sequence[Bin], chosen: tuple[float, float]) -> str:
    """Draw a histogram and its sum from the left as SVG, with the chosen range shaded.

    Args:
        bins: From 0 to 1; a last bin ``none`` is left out of the sum.
        chosen: Lowest and highest chosen rate.
    """
    shares = [(float(bin.label), bin.problems) for bin in bins if bin.label != "none"]

    def fill(axes: Sequence[Any]) -> None:
        _draw_counts(axes[0], shares, chosen)
        _draw_sum(axes[1], shares, chosen)

    return render_grid(1, 2, fill)


def _draw_counts(ax: Any, shares: Sequence[tuple[float, int]], chosen: tuple[float, float]) -> None:
    width = 0.9 / max(len(shares) - 1, 1)
    inside = [chosen[0] <= share <= chosen[1] for share, _ in shares]
    ax.bar(
        [share for share, _ in shares],
        [count for _, count in shares],
        width=width,
        color=[SERIES[0] if flag else SERIES[5] for flag in inside],
    )
    ax.set_title("Problems by pass rate")
    ax.set_xlabel("share of samples that pass")
    ax.set_ylabel("problems")


def _draw_sum(ax: Any, shares: Sequence[tuple[float, int]], chosen: tuple[float, float]) -> None:
    total = max(sum(count for _, count in shares), 1)
    sums = [value / total for value in accumulate(count for _, count in shares)]
    ax.plot([share for share, _ in shares], sums, color=SERIES[0], drawstyle="steps-post")
    ax.axvspan(*chosen, color=SERIES[0], alpha=0.12)
    ax.set_title("Problems with at most this rate")
    ax.set_xlabel("share of samples that pass")
    ax.set_ylabel("share of problems")
    ax.set_xlim(-0.04, 1.04)
    share_axis(ax)


def _rate(value: JSON) -> float:
    return math.nan if value is None else float(value)
