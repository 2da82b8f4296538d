"""Pictures of a study: gains against losses of runs, learning curves, the front over rates."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from rephrase_rl.reports.scatter import Panel, Points, draw_panels
from rephrase_rl.studies.head_to_head import trade_offs
from rephrase_rl.studies.order import sweep_cells
from rephrase_rl.studies.selection import validated
from rephrase_rl.studies.tables import ARMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.records import JSON
    from rephrase_rl.studies.analysis import Analysis
    from rephrase_rl.studies.outcomes import Run

KEPT, HEIGHT = "retention", "mean height over tokens"
LOSS, GAIN = "retention loss", "hard gain"
RANKED = (
    *("repo", "sft", "grpo", "luffy", "naive", "rewrite_sft"),
    *("guide", "sft_then_rl", "grpo_large", "luffy_gated"),
)
"""An arm looks the same in every picture: RePO stands out, and relatives share a colour."""


def trilemma(analysis: Analysis) -> str | None:
    """Hard gain against retention loss, a point for each run; None where there is no run."""
    panels = []
    for condition in analysis.conditions:
        runs = analysis.of(condition)
        points = [
            Points(
                arm,
                tuple(run.retention_loss() for run in runs if run.cell["arm"] == arm),
                tuple(run.hard_gain() for run in runs if run.cell["arm"] == arm),
            )
            for arm in ARMS
        ]
        if runs:
            panels.append(Panel(condition.name, tuple(p for p in points if p.x)))
    return draw_panels(panels, LOSS, GAIN, joined=False, ranked=RANKED) if panels else None


def trade_off(families: Mapping[str, tuple[StudyConfig, Sequence[Run]]]) -> str | None:
    """Hard problems against what is kept, a point for each run of a pair; None without any pair.

    Batches that are against others have no panel of their own.
    """
    panels = []
    for family, (study, runs) in families.items():
        for protocol in (name for name, mix in study.protocols.items() if mix.against is None):
            points = trade_offs(study, runs, protocol)
            lines = [
                Points(arm, *map(tuple, zip(*own, strict=True))) for arm, own in points.items()
            ]
            if lines:
                panels.append(Panel(f"{family}, {protocol}", tuple(lines)))
    return draw_panels(panels, KEPT, HEIGHT, joined=False, ranked=RANKED[:1]) if panels else None


def learning_curves(analysis: Analysis) -> str | None:
    """Validation accuracy on hard problems over steps, mean over runs; None without any."""
    panels = []
    for condition in analysis.conditions:
        lines = []
        for arm in ARMS:
            curves = [r.summary["curve"] for r in analysis.of(condition) if r.cell["arm"] == arm]
            if curves:
                steps = [point["step"] for point in curves[0]]
                means = [fmean(p["hard"] for p in points) for points in zip(*curves, strict=True)]
                lines.append(Points(arm, tuple(steps), tuple(means)))
        if lines:
            panels.append(Panel(condition.name, tuple(lines)))
    return draw_panels(panels, "step", "hard", joined=True, ranked=RANKED) if panels else None


def rates_front(study: StudyConfig, summaries: Mapping[str, Mapping[str, JSON]]) -> str | None:
    """The same on the validation for every rate of the sweep, rates of an arm joined in order."""
    panels = []
    for protocol in study.protocols:
        for expert in ("alien", "near"):
            points = [
                line
                for arm in ARMS
                if arm in study.arms
                and study.arms[arm].rate_of is None
                and (line := _line(study, summaries, (arm, protocol, expert))) is not None
            ]
            if points:
                panels.append(Panel(f"{protocol}, {expert} expert", tuple(points)))
    return draw_panels(panels, LOSS, GAIN, joined=True, ranked=RANKED) if panels else None


def _line(
    study: StudyConfig,
    summaries: Mapping[str, Mapping[str, JSON]],
    where: tuple[str, str, str],
) -> Points | None:
    arm, protocol, expert = where
    cells = sweep_cells(study, arm, protocol, expert, summaries)
    done = [validated(summaries[cell.cell_id]) for cell in cells if cell.cell_id in summaries]
    done.sort(key=lambda one: one.rate)
    if not done:
        return None
    return Points(arm, tuple(one.retention_loss for one in done), tuple(one.hard for one in done))
