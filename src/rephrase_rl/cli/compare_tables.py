"""A comparison as tables of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rephrase_rl.cli.console import output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rephrase_rl.records import JSON

MOST_DIFFERENCES = 12
"""Entries of the configuration shown; the rest is counted and stands in the page."""


def print_comparison(data: Mapping[str, JSON]) -> None:
    """Print what ``comparison.json`` holds, without the single runs."""
    for sentence in data["warnings"]:
        output.print(f"note: {sentence}")
    scores = (
        [_results(data), *_tests(data), *_trilemma(data), *_times(data)]
        if data["benchmarks"]
        else []
    )
    for table in (*scores, _budgets(data)):
        output.print(table, soft_wrap=False)
    for table in _differences(data):
        output.print(table, soft_wrap=False)


def _results(data: Mapping[str, JSON]) -> Table:
    from rephrase_rl.reports import numbers

    table = Table(
        title="avg@k of the last evaluation, 95 % interval over seeds (one run: problems)"
    )
    table.add_column("arm")
    table.add_column("runs", justify="right")
    for benchmark in data["benchmarks"]:
        unlike = "\nNOT the same protocol" if benchmark["unlike"] else ""
        table.add_column(f"{benchmark['benchmark']}{unlike}", justify="right")
    for place, arm in enumerate(data["arms"]):
        scores = [benchmark["arms"][place] for benchmark in data["benchmarks"]]
        cells = ["not evaluated" if score is None else numbers.interval(score) for score in scores]
        table.add_row(arm["label"], str(len(arm["runs"])), *cells)
    return table


def _tests(data: Mapping[str, JSON]) -> Iterator[Table]:
    from rephrase_rl.reports import comparison_text

    if not data["tests"]:
        return
    table = Table(
        *("benchmark", "arm", "difference", "seeds", "test", "p", "p, Holm"),
        title=f"against {data['baseline']}",
    )
    for column in (2, 3, 5, 6):
        table.columns[column].justify = "right"
    for test in data["tests"]:
        known = test["difference"] is not None
        table.add_row(
            test["benchmark"],
            test["arm"],
            comparison_text.difference(test) if known else "-",
            " / ".join(map(str, test["num_seeds"])),
            test["test"] or "none",
            comparison_text.p_value(test["p_value"]),
            comparison_text.p_value(test["p_holm"]),
        )
    yield table
    for note in dict.fromkeys(test["note"] for test in data["tests"] if test["note"]):
        told = [f"{t['arm']} on {t['benchmark']}" for t in data["tests"] if t["note"] == note]
        output.print(note if len(told) == len(data["tests"]) else f"{note}: {', '.join(told)}")


def _trilemma(data: Mapping[str, JSON]) -> Iterator[Table]:
    """Means over the runs of an arm; single runs stand in the page."""
    picture = data["trilemma"]
    if not picture["points"]:
        for sentence in picture["missing"]:
            output.print(f"no picture of gain and loss: {sentence}")
        return
    hard, general = " + ".join(picture["hard"]), " + ".join(picture["general"])
    table = Table(
        *("arm", f"gain on {hard}", f"change on {general}"),
        title="last evaluation minus the one before training, in points, each run",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for arm in data["arms"]:
        points = [p for p in picture["points"] if p["arm"] == arm["label"]]
        if points:
            cells = [
                ", ".join(f"{100 * p[side]['mean']:+.1f}" for p in points)
                for side in ("hard", "general")
            ]
            table.add_row(arm["label"], *cells)
    yield table


def _times(data: Mapping[str, JSON]) -> Iterator[Table]:
    from rephrase_rl.reports import comparison_text

    times = data["thresholds"]
    if not times:
        return
    units = list(dict.fromkeys(entry["unit"] for entry in times["by_arm"]))
    table = Table(
        *("arm", "reached", *units, "p by unit, Holm"),
        title=f"time to {times['threshold']:g} on {times['benchmark']}, medians",
    )
    for label in dict.fromkeys(entry["arm"] for entry in times["by_arm"]):
        entries = {e["unit"]: e for e in times["by_arm"] if e["arm"] == label}
        time = next(iter(entries.values()))["time"]
        medians = [
            comparison_text.median_time(entries[u]["time"]) if u in entries else "-" for u in units
        ]
        p_values = [comparison_text.p_value(e["p_holm"]) for e in entries.values()]
        reached = f"{time['num_reached']} of {time['num_runs']}"
        table.add_row(label, reached, *medians, ", ".join(p_values))
    yield table


def _budgets(data: Mapping[str, JSON]) -> Table:
    from rephrase_rl.reports import comparison_text

    table = Table("mean over runs", *(arm["label"] for arm in data["arms"]), title="budgets")
    for column in table.columns[1:]:
        column.justify = "right"
    for title, name, kind in comparison_text.BUDGET_ROWS:
        values = [arm["budget"][name] for arm in data["arms"]]
        if any(value is not None for value in values):
            table.add_row(title, *(comparison_text.amount(value, kind) for value in values))
    return table


def _differences(data: Mapping[str, JSON]) -> Iterator[Table]:
    columns = (("config_differences", "arms"), ("manifest_differences", "runs"))
    for name, sides in columns:
        entries = data[name]
        if not entries:
            continue
        title = "configuration, the seed apart" if sides == "arms" else "code, data and machine"
        if sides == "runs" and len(data["runs"]) > len(data["arms"]):
            output.print(f"{title}: runs differ in {', '.join(e['name'] for e in entries)}")
            continue
        labels = [side["label"] for side in data[sides]]
        table = Table("entry", *labels, title=title)
        for entry in entries[:MOST_DIFFERENCES]:
            table.add_row(entry["name"], *entry["values"])
        yield table
        if len(entries) > MOST_DIFFERENCES:
            output.print(f"and {len(entries) - MOST_DIFFERENCES} more, in the page")
