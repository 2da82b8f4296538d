"""The Markdown report of one run of the benchmarks, with its plots beside it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plots
from history import LIMIT, WINDOW, Change
from suite import SUITE

if TYPE_CHECKING:
    from measuring import Figure

TITLES = {
    "micro": "Functions",
    "guidance": "Guidance without a model",
    "records": "Records and viewer",
    "verifiers": "Verifier pool",
    "growth": "Growth of a step",
    "step": "A step of ours beside TRL's",
}
MODEL = "lab"
"""First part of a report's name: the model of the one benchmark that has a trained one."""


def name_of(machine: str, started_at: str) -> str:
    """Name of a report without its suffix: model, hardware, date.

    Example:
        >>> name_of("amd-epyc-2-cores", "2026-02-03T04:05:06+00:00")
        'lab_amd-epyc-2-cores_20260203'
    """
    return f"{MODEL}_{machine}_{started_at[:10].replace('-', '')}"


def write_report(
    folder: Path,
    line: Mapping[str, Any],
    name: str,
    records: Mapping[str, Mapping[str, Any]],
    changes: Sequence[Change],
) -> Path:
    """Write ``NAME.md`` and its plots under ``NAME/``.

    Args:
        folder: Where both go.
        line: The run as it stands in the history.
        name: Name of the report without a suffix.
        records: Benchmark -> what it wrote, ``figures`` among it.
        changes: Every figure beside those of earlier runs, under its name in the history.
    """
    parts = [heading(line), comparison(changes)]
    for part, record in records.items():
        plot = folder / name / f"{part}.svg"
        drawn = plots.draw(part, record, plot)
        parts.append(section(part, record, f"{name}/{plot.name}" if drawn else None))
    file = folder / f"{name}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(parts))
    return file


def heading(line: Mapping[str, Any]) -> str:
    """Machine, versions, commit and how to read the figures."""
    hardware, versions = line["hardware"], line["versions"]
    memory = hardware["memory_bytes"]
    facts = {
        "machine": f"{hardware['cpu']}, {hardware['cores']} cores",
        "memory": "unknown" if memory is None else f"{memory / 2**30:.1f} GiB",
        "system": hardware["system"],
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "commit": f"{line['commit'] or 'unknown'}{', with changes' if line['dirty'] else ''}",
        "begun": line["started_at"],
        "command": f"make bench{' BENCH_ARGS=--quick' if line['form'] == 'quick' else ''}",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return (
        f"# Benchmarks, {line['form']} form\n\n| | |\n|---|---|\n{rows}\n\n"
        "Figures are medians, with the smallest and the largest of the repetitions and their "
        "number. What each benchmark does stands above its table.\n"
    )


def comparison(changes: Sequence[Change]) -> str:
    """What is slower or faster than in earlier runs on this machine."""
    compared = [change for change in changes if change.before is not None]
    rule = (
        f"A figure is a regression where it is worse than the median of the last {WINDOW} runs of "
        f"the same form on the same machine by more than {LIMIT:.0%}, in every repetition."
    )
    if not compared:
        return f"## Changes\n\nNo earlier run to compare with. {rule}\n"
    new = len(changes) - len(compared)
    lines = [f"## Changes\n\n{rule} {len(compared)} figures compared, {new} new.\n"]
    for verdict, title in (("regression", "Regressions"), ("improvement", "Improvements")):
        found = [change for change in compared if change.verdict == verdict]
        lines.append(f"{title}: {len(found) or 'none'}.\n")
        if found:
            lines.append("| figure | now | before | change | runs |\n|---|---|---|---|---|")
            lines += [change_row(change) for change in found]
            lines.append("")
    return "\n".join(lines)


def change_row(change: Change) -> str:
    """One changed figure as a row of a table."""
    unit = change.now["unit"]
    return (
        f"| {change.name} | {number(change.now['median'])} {unit} "
        f"| {number(change.before or 0.0)} {unit} "
        f"| {abs(change.share):.0%} {'worse' if change.share > 0 else 'better'} "
        f"| {change.lines} |"
    )


def section(part: str, record: Mapping[str, Any], plot: str | None) -> str:
    """One benchmark: what it is, its plot, its figures and exponents."""
    lines = [f"## {TITLES[part]}\n", f"{description(part)}\n"]
    if plot:
        lines.append(f"![{TITLES[part]}]({plot})\n")
    lines.append(table(record["figures"]))
    details = record.get("details", {})
    if details.get("exponents"):
        lines.append(exponent_table(details["exponents"]))
    if "sizes_mib" in details:
        lines.append(size_table(details["sizes_mib"]))
    return "\n".join(lines)


def description(part: str) -> str:
    """The script's own documentation without its command; nothing is imported for it."""
    source = Path(__file__).with_name(SUITE[part].script).read_text()
    text = ast.get_docstring(ast.parse(source)) or ""
    return text.split("\n    python ")[0].strip().replace("``", "`")


def table(figures: Mapping[str, Figure]) -> str:
    """Figures as a table."""
    rows = [
        f"| {name} | {number(one['median'])} | {number(one['low'])} to {number(one['high'])} "
        f"| {one['count']} | {one['unit']} |"
        for name, one in figures.items()
    ]
    head = "| figure | median | range | runs | unit |\n|---|---|---|---|---|"
    return "\n".join([head, *rows, ""])


def exponent_table(exponents: Mapping[str, Sequence[float]]) -> str:
    """Exponents of growth as a table."""
    rows = [
        f"| {name} | {value:.2f} | {low:.2f} to {high:.2f} |"
        for name, (value, low, high) in exponents.items()
    ]
    head = "| cost grows as a power | exponent | 95 % interval |\n|---|---|---|"
    return "\n".join([head, *rows, ""])


def size_table(sizes_mib: Mapping[str, Mapping[str, float]]) -> str:
    """Sizes of the files of a run as a table."""
    names = list(next(iter(sizes_mib.values())))
    head = f"| groups | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}"
    rows = [
        f"| {size} | {' | '.join(f'{sizes[name]:.1f} MiB' for name in names)} |"
        for size, sizes in sizes_mib.items()
    ]
    return "\n".join([head, *rows, ""])


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if "e+" in digits else digits
