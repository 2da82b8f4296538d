"""One candidate against the baseline on both endpoints at once, family by family.

The rule of ``results/PLAN_PLUS.md``: a candidate beats the baseline in a condition if its mean
height over tokens and its retention are both above, each with p below 0.05. Both must hold, so
neither p-value is corrected for there being two. It is behind where
the interval of either lies below 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.studies.ablation import (
    LEVEL,
    heights_by_tokens,
    kept,
    pairs_by_change,
    variant_of,
)
from rephrase_rl.studies.ablation_pages import change_name, shown, times, with_p
from rephrase_rl.studies.pages import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.studies.ablation import Difference, Variant
    from rephrase_rl.studies.outcomes import Run

HEAD = (
    *("family, batches of the baseline", "candidate", "pairs", "mean height over tokens"),
    *("retention", "verdict", "hard at the end", "tokens", "CPU s a step"),
)


def beats(variant: Variant) -> bool:
    """Whether a variant is ahead on both endpoints beyond doubt."""
    return all(_ahead(found) for found in (variant.area_by_tokens, variant.retention))


def is_behind(variant: Variant) -> bool:
    """Whether a variant is behind on one endpoint beyond doubt."""
    return any(found.high < 0 for found in (variant.area_by_tokens, variant.retention))


def _ahead(found: Difference) -> bool:
    return found.p_value is not None and found.p_value < LEVEL and found.mean > 0


def head_to_head_table(families: Mapping[str, tuple[StudyConfig, Sequence[Run]]]) -> list[str]:
    """A row for each change in each condition of each family: it minus the baseline.

    Args:
        families: Study with a baseline, and its finished cells, by family. All runs of a study
            have as many steps, so that their seconds compare like those of a step.
    """
    rows = [
        _row(f"{family}, {protocol}", change_name(study, protocol, variant), variant)
        for family, (study, runs) in families.items()
        for protocol, variant in _changes(study, runs)
    ]
    return table(HEAD, rows)


def _changes(study: StudyConfig, runs: Sequence[Run]) -> Iterator[tuple[str, Variant]]:
    for protocol in study.protocols:
        _, pairs = pairs_by_change(study, runs, protocol)
        for (arm, own), its in pairs.items():
            yield protocol, variant_of(arm, own, its)


def _row(condition: str, change: str, variant: Variant) -> list[str]:
    return [
        condition,
        change,
        str(variant.pairs),
        with_p(variant.area_by_tokens),
        with_p(variant.retention),
        _verdict(variant),
        shown(variant.hard_at_end),
        times(variant.tokens),
        times(variant.seconds),
    ]


def _verdict(variant: Variant) -> str:
    if beats(variant):
        return "**beats**"
    return "**behind**" if is_behind(variant) else "neither"


def trade_offs(
    study: StudyConfig, runs: Sequence[Run], protocol: str
) -> dict[str, list[tuple[float, float]]]:
    """What is kept, and the mean height over tokens, of both runs of every pair.

    Args:
        study: With a baseline and one other arm.
        runs: Finished cells.
        protocol: The condition.

    Returns:
        By arm, a point for each seed.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    _, pairs = pairs_by_change(study, runs, protocol)
    for (arm, _), its in pairs.items():
        if arm == study.baseline:
            continue
        for run, base in its:
            height, base_height = heights_by_tokens(run, base)
            points.setdefault(str(study.baseline), []).append((kept(base), base_height))
            points.setdefault(arm, []).append((kept(run), height))
    return points
