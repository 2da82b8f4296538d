"""The figures of the benchmark report, in the colours of the reports of runs, on white."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rephrase_rl.reports.figures_style import MARKERS, RC, SERIES

if TYPE_CHECKING:
    from pathlib import Path

WIDTH_IN, HEIGHT_IN = 8.6, 3.2
LIMIT_MIB = 2048
SERIES_LABELS = {
    "G": "rollouts of a group",
    "completion": "tokens of a completion",
    "vocabulary": "words in the vocabulary",
    "open": "share of open gates",
}


def draw(part: str, record: Mapping[str, Any], file: Path) -> bool:
    """Draw the figure of one benchmark; False if it has none.

    Args:
        part: Name of the benchmark in the suite.
        record: What it wrote.
        file: Where the figure goes; the suffix says in which format.
    """
    if part not in DRAWN:
        return False
    DRAWN[part](record, file)
    return True


@contextmanager
def panels(file: Path, columns: int, rows: int = 1) -> Iterator[list[Any]]:
    """Axes to draw into, saved when the block is left."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC | {"figure.facecolor": "white", "savefig.facecolor": "white"})
        canvas = Figure(figsize=(WIDTH_IN, HEIGHT_IN * rows), layout="constrained")
        yield list(canvas.subplots(rows, columns, squeeze=False).flat)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Neither date nor version: the same figures give the same file.
        bare = {"Date": None, "Creator": None} if file.suffix == ".svg" else {"Software": None}
        canvas.savefig(file, metadata=bare, dpi=150)


def draw_guidance(record: Mapping[str, Any], file: Path) -> None:
    """Cost of a group over the number of groups: the step left, what is kept of it right."""
    details = record["details"]
    costs, exponents = details["us_per_group"], details["exponents"]
    with panels(file, 2) as axes:
        for ax, is_step, title in zip(
            axes, (True, False), ("Guidance step", "Records, metrics, ledger"), strict=True
        ):
            chosen = [name for name in costs if name.startswith("guide") == is_step]
            labels = {name: name.removeprefix("guide, ").split(", half")[0] for name in chosen}
            draw_sizes(ax, {n: costs[n] for n in chosen}, labels, exponents)
            ax.set_title(title)
            ax.set_ylabel("µs a group")
            if is_step:
                ax.set_ylim(bottom=0)
            else:
                ax.set_yscale("log")


def draw_records(record: Mapping[str, Any], file: Path) -> None:
    """Time a group left, peak memory right, over the number of groups."""
    details = record["details"]
    jobs = {job: job for job in details["us_per_group"]}
    with panels(file, 2) as (left, right):
        draw_sizes(left, details["us_per_group"], jobs, details["exponents"])
        left.set_title("Records and viewer")
        left.set_ylabel("µs a group")
        left.set_yscale("log")
        draw_sizes(right, details["peak_mib"], jobs, {})
        right.axhline(LIMIT_MIB, color=SERIES[5], linewidth=0.8, linestyle="--")
        right.set_title("Peak memory; dashed: 2 GiB")
        right.set_ylabel("MiB")
        right.set_yscale("log")


def draw_sizes(
    ax: Any,
    points: Mapping[str, Sequence[Sequence[float]]],
    labels: Mapping[str, str],
    exponents: Mapping[str, Sequence[float]],
) -> None:
    """Every measurement as a mark, a line through the medians of each size."""
    for index, (name, pairs) in enumerate(points.items()):
        color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        sizes = sorted({size for size, _ in pairs})
        middle = [statistics.median(y for x, y in pairs if x == size) for size in sizes]
        fitted = f" (exponent {exponents[name][0]:.2f})" if name in exponents else ""
        ax.plot(sizes, middle, color=color, linewidth=1.4, label=labels[name] + fitted)
        ax.plot(*zip(*pairs, strict=True), marker, color=color, markersize=3.5, alpha=0.6)
    ax.set_xscale("log")
    ax.set_xlabel("groups")
    ax.legend(loc="best")


def draw_verifiers(record: Mapping[str, Any], file: Path) -> None:
    """Answers a second by kind: bare math-verify and ours."""
    figures, details = record["figures"], record["details"]
    arms = ["bare", *(f"{n} worker{'s' * (n > 1)}" for n in details["workers"])]
    with panels(file, 1) as (ax,):
        for index, arm in enumerate(arms):
            found = [figures[f"{kind}, {arm}"] for kind in details["kinds"]]
            middle = [one["median"] for one in found]
            spread = [
                [one["median"] - one["low"] for one in found],
                [one["high"] - one["median"] for one in found],
            ]
            places = [place + 0.27 * (index - 1) for place in range(len(found))]
            label = "bare math-verify" if arm == "bare" else f"MathVerifier, {arm}"
            style = {"ecolor": "#1f2328", "error_kw": {"elinewidth": 0.8}, "capsize": 2.0}
            ax.bar(places, middle, 0.25, yerr=spread, color=SERIES[index], label=label, **style)
            for place, value in zip(places, middle, strict=True):
                ax.annotate(f"{value:,.0f}", (place, value), (0, 7), **ABOVE)
        ax.set_xticks(range(len(details["kinds"])), details["kinds"])
        ax.set_yscale("log")
        ax.margins(y=0.15)
        ax.set_ylabel("answers a second")
        ax.set_title("Verifier pool")
        ax.grid(visible=False, axis="x")
        ax.legend(loc="upper right")


ABOVE: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7}


def draw_growth(record: Mapping[str, Any], file: Path) -> None:
    """Phases of a step, stacked, one panel a series."""
    series = record["details"]["series"]
    rows = -(-len(series) // 2)
    with panels(file, 2, rows) as axes:
        for ax, (name, points) in zip(axes, series.items(), strict=False):
            phases = [key for key in points[0] if key not in ("value", "step_s")]
            bottom = [0.0] * len(points)
            for index, phase in enumerate(phases):
                heights = [max(0.0, point[phase]) for point in points]
                shade = {"color": SERIES[index % len(SERIES)], "alpha": 1 - 0.45 * (index >= 6)}
                ax.bar(range(len(points)), heights, 0.6, bottom=bottom, label=phase, **shade)
                bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
            ax.set_xticks(range(len(points)), [f"{point['value']:,g}" for point in points])
            ax.set_xlabel(SERIES_LABELS[name])
            ax.set_ylabel("seconds a step")
            ax.grid(visible=False, axis="x")
        for ax in axes[len(series) :]:
            ax.remove()
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside right upper")


DRAWN = {
    "guidance": draw_guidance,
    "records": draw_records,
    "verifiers": draw_verifiers,
    "growth": draw_growth,
}
