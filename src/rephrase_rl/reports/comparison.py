"""Several runs side by side: outcomes with intervals, budgets, differences, curves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rephrase_rl.errors import CheckpointError
from rephrase_rl.records import to_json
from rephrase_rl.reports import pages
from rephrase_rl.reports.budgets import measure_budget
from rephrase_rl.reports.config_differences import config_differences, manifest_differences
from rephrase_rl.reports.curves import Track, draw_comparison
from rephrase_rl.reports.evaluations import first_of_each, last_of_each, read_evaluations
from rephrase_rl.reports.figures_style import darken
from rephrase_rl.reports.series import smoothing_window
from rephrase_rl.runs import RunDirectory
from rephrase_rl.runs.atomic import write_bytes, write_text
from rephrase_rl.runs.jsonl import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import JSON, StepRecord
    from rephrase_rl.reports.evaluations import EvaluationRow

PROTOCOL_FACTS = ("num_problems", "samples_per_problem", "protocol")
"""Evaluations that differ in one of these measure different things."""


@dataclass(frozen=True, slots=True)
class ComparisonPaths:
    """What ``write_comparison`` wrote; ``curves`` is None if no run has figures to draw."""

    index: Path
    comparison_json: Path
    comparison_markdown: Path
    curves: Path | None


@dataclass(frozen=True, slots=True)
class _Arm:
    """One run of the comparison, read once."""

    label: str
    run: RunDirectory
    steps: Sequence[StepRecord]
    evaluations: Sequence[EvaluationRow]


def write_comparison(
    run_dirs: Sequence[str | os.PathLike[str]], out_dir: str | os.PathLike[str]
) -> ComparisonPaths:
    """Write ``index.html``, ``comparison.{json,md}`` and curves of several runs.

    Each run's own report is linked by a relative path if it is there (``write_report`` makes it).

    Args:
        run_dirs: At least two run directories. Columns have the folders' names, or as much of
            the path as tells them apart.
        out_dir: Folder for the comparison; made if needed.

    Raises:
        CheckpointError: Fewer than two different runs, or one cannot be read.
        EvaluationError: An evaluation result lacks its estimate.
    """
    folders = [Path(run_dir) for run_dir in run_dirs]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise CheckpointError(
            f"found {', '.join(map(str, folders)) or 'no runs'}; a comparison needs at least two "
            "different run directories, each named once: name another run"
        )
    arms = []
    for folder, label in zip(folders, label_runs(folders), strict=True):
        run = RunDirectory.open(folder)
        arms.append(_Arm(label, run, run.steps(), read_evaluations(run)))
    out = Path(out_dir)
    data = _compare(arms, out)
    figure = draw_comparison([Track(a.label, a.steps, a.evaluations) for a in arms])
    paths = ComparisonPaths(
        index=out / "index.html",
        comparison_json=out / "comparison.json",
        comparison_markdown=out / "comparison.md",
        curves=out / "curves.svg" if figure.svg else None,
    )
    write_bytes(paths.comparison_json, encode(data, indent=2) + b"\n")
    write_text(
        paths.comparison_markdown, pages.render_markdown("comparison.md.j2", comparison=data)
    )
    if paths.curves is not None:
        write_text(paths.curves, figure.svg)
        write_text(out / "curves-dark.svg", darken(figure.svg))
    write_text(
        paths.index,
        pages.render_page(
            "comparison.html.j2",
            comparison=data,
            figure=figure,
            curves_light=pages.embed_svg(figure.svg),
            curves_dark=pages.embed_svg(darken(figure.svg)),
            window=max(smoothing_window(len(arm.steps)) for arm in arms),
        ),
    )
    return paths


def label_runs(folders: Sequence[Path]) -> list[str]:
    """Return a short name for each run: the fewest last parts of its path that tell all apart.

    Example:
        >>> label_runs([Path("a/grpo"), Path("a/repo")])
        ['grpo', 'repo']
        >>> label_runs([Path("a/repo"), Path("b/repo")])
        ['a/repo', 'b/repo']
    """
    parts = [folder.resolve().parts for folder in folders]
    longest = max((len(part) for part in parts), default=1)
    for length in range(1, longest + 1):
        labels = ["/".join(part[-length:]) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [str(folder.resolve()) for folder in folders]


def _compare(arms: Sequence[_Arm], out: Path) -> dict[str, JSON]:
    """Gather everything the comparison shows, as plain JSON."""
    names = sorted({row.benchmark for arm in arms for row in arm.evaluations})
    config_differences([arm.run.config for arm in arms])
    manifest_differences([arm.run.manifest for arm in arms])
    return {
        "comparison_version": 1,
        "runs": [_describe(arm, out) for arm in arms],
        "benchmarks": [_compare_benchmark(arms, name) for name in names],
        "config_differences": [
            d._asdict() for d in config_differences([a.run.config for a in arms])
        ],
        "manifest_differences": [
            d._asdict() for d in manifest_differences([a.run.manifest for a in arms])
        ],
    }


def _describe(arm: _Arm, out: Path) -> dict[str, JSON]:
    budget = measure_budget(arm.run, arm.steps, arm.evaluations)
    page = arm.run.report / "index.html"
    # Both ends resolved: a link written through a symbolic link would count its ".." wrongly.
    relative = os.path.relpath(page.resolve(), out.resolve())
    return {
        "label": arm.label,
        "method": arm.run.manifest.get("method"),
        "model": arm.run.manifest.get("model"),
        "report": quote(Path(relative).as_posix()) if page.is_file() else None,
        "finished": arm.run.summary is not None,
        "budget": {
            **to_json(budget),
            "training_tokens": budget.training_tokens,
        },
    }


def _compare_benchmark(arms: Sequence[_Arm], name: str) -> dict[str, JSON]:
    """Compare the last evaluations of one benchmark; None for a run that has none."""
    last = [last_of_each(arm.evaluations).get(name) for arm in arms]
    first = [first_of_each(arm.evaluations).get(name) for arm in arms]
    present = [to_json(row) for row in last if row is not None]
    unlike = [fact for fact in PROTOCOL_FACTS if any(r[fact] != present[0][fact] for r in present)]
    return {
        "benchmark": name,
        "last": to_json(last),
        "first": [
            None if f is None or g is None or f.step == g.step else to_json(f)
            for f, g in zip(first, last, strict=True)
        ],
        "unlike": unlike,
        "protocol": present[0]["protocol"] if "protocol" not in unlike else None,
        "num_problems": present[0]["num_problems"],
        "samples_per_problem": present[0]["samples_per_problem"],
    }
