"""The card of a study of ablations: a table for each condition, as a page and as data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rephrase_rl.records import to_json
from rephrase_rl.studies.ablation import LEVEL
from rephrase_rl.studies.origins import made_with, policies_table
from rephrase_rl.studies.pages import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.records import JSON
    from rephrase_rl.studies.ablation import Compared, Difference, Variant


def card_lines(
    study: StudyConfig,
    summaries: Mapping[str, Mapping[str, JSON]],
    compared: Sequence[Compared],
) -> list[str]:
    """The card as a page."""
    command = f"rephrase-rl study {study.name}"
    plan = f"PLAN_{study.name.partition('-')[0].upper()}.md"
    lines = [
        f"# Study `{study.name}`",
        "",
        f"Made by `{command}` and `make results`, by the rules of [{plan}](../{plan}).",
        f"Every number is computed from the {len(summaries)} summaries in `runs/`. What an arm",
        f"changes stands under its name in `src/rephrase_rl/studies/{study.name}.yaml`.",
        "",
        f"Differences to `{study.baseline}` with the same seeds: mean [95 % t interval], p of the",
        "paired t test after Holm's correction over the rows of the table. Bold: the corrected p",
        f"is below {LEVEL}.",
        "",
    ]
    lines += ["## Overview", "", *overview_table(study, compared), ""]
    for condition in compared:
        lines += [f"## {condition.name}", "", *condition_lines(study, condition), ""]
    lines += ["## Starting policies", "", *policies_table(summaries), ""]
    return [*lines, "## Made with", "", *made_with(summaries), ""]


def overview_table(study: StudyConfig, compared: Sequence[Compared]) -> list[str]:
    """Every change in every condition: mean differences, bold where the corrected p is small.

    Args:
        study: For the order of its arms.
        compared: Conditions; a change with a single pair is left out there.
    """
    found: dict[str, dict[str, str]] = {}
    for condition in compared:
        for variant in condition.variants:
            if variant.pairs > 1:
                cell = f"hard {_mean(variant.hard_at_tokens)}<br>kept {_mean(variant.retention)}"
                found.setdefault(change_name(study, condition.protocol, variant), {})[
                    condition.name
                ] = cell
    known = [f"`{name}`" for name in study.arms if f"`{name}`" in found]
    names = [*known, *(name for name in found if name not in known)]
    conditions = [c.name for c in compared if any(c.name in cells for cells in found.values())]
    rows = [[name, *(found[name].get(where, "") for where in conditions)] for name in names]
    return table(["change", *conditions], rows)


def _mean(found: Difference) -> str:
    text = f"{found.mean:+z.3f}"
    return f"**{text}**" if found.p_value is not None and found.p_value < LEVEL else text


def change_name(study: StudyConfig, protocol: str, variant: Variant) -> str:
    """The arm, and its batches where they are others than those of the condition."""
    if variant.protocol == protocol:
        return f"`{variant.arm}`"
    batches = f"batches `{variant.protocol}`"
    return batches if variant.arm == study.baseline else f"`{variant.arm}`, {batches}"


def condition_lines(study: StudyConfig, condition: Compared) -> list[str]:
    """One condition: the baseline's level, and a row for each change."""
    head = [
        "change",
        "pairs",
        "hard at equal tokens",
        "retention",
        "hard at the end",
        "mean height",
        "mean height over tokens",
    ]
    return [
        f"`{study.baseline}`: {condition.seeds} runs, hard {condition.hard:.3f}, retention "
        f"{condition.retention:.3f}.",
        "",
        *table([*head, "tokens", "CPU s"], [_row(study, condition, v) for v in condition.variants]),
    ]


def _row(study: StudyConfig, condition: Compared, variant: Variant) -> list[str]:
    return [
        change_name(study, condition.protocol, variant),
        str(variant.pairs),
        with_p(variant.hard_at_tokens),
        with_p(variant.retention),
        shown(variant.hard_at_end),
        shown(variant.area),
        shown(variant.area_by_tokens),
        times(variant.tokens),
        times(variant.seconds),
    ]


def shown(found: Difference) -> str:
    """A mean difference with its interval, where there is one."""
    if math.isnan(found.low):
        return f"{found.mean:+z.3f}"
    return f"{found.mean:+z.3f} [{found.low:+z.3f}, {found.high:+z.3f}]"


def with_p(found: Difference) -> str:
    """The same with its p-value, bold where that is small."""
    if found.p_value is None:
        return shown(found)
    text = f"{shown(found)}, p {found.p_value:.3f}"
    return f"**{text}**" if found.p_value < LEVEL else text


def times(ratio: float) -> str:
    """A ratio; nothing where there is none."""
    return "" if math.isnan(ratio) else f"x {ratio:.2f}"


def card_json(
    study: StudyConfig,
    summaries: Mapping[str, Mapping[str, JSON]],
    compared: Sequence[Compared],
) -> JSON:
    """The card as data."""
    return to_json(
        {
            "study": study.name,
            "command": f"rephrase-rl study {study.name}",
            "cells": len(summaries),
            "baseline": study.baseline,
            "conditions": compared,
            "made_with": made_with(summaries),
        }
    )
