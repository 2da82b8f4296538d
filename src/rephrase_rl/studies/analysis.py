"""From stored summaries to every number that is published: verdicts, tables, card.

Reads summaries only, so it runs anywhere and gives the same text each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.config.study import BASE_ARM
from rephrase_rl.records import to_json
from rephrase_rl.studies import pages
from rephrase_rl.studies.cells import ANY
from rephrase_rl.studies.order import chosen_rate, sweep_cells
from rephrase_rl.studies.origins import made_with, policies_table
from rephrase_rl.studies.outcomes import matching, runs_of
from rephrase_rl.studies.selection import validated
from rephrase_rl.studies.tables import ConditionTables, condition_tables
from rephrase_rl.studies.verdicts import CLAIMS, Condition, judged, overall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.records import JSON
    from rephrase_rl.studies.outcomes import Run
    from rephrase_rl.studies.verdicts import Claim, Judged


BY_POLICY = (
    "Hard accuracy at equal prompts, a mean for each starting policy: pretraining seeds 0, 1, 2. "
    "Runs from one policy are more alike than runs from two."
)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the finished cells say."""

    conditions: tuple[Condition, ...]
    """All of the plan, run or not."""
    main: tuple[Run, ...]
    """Runs at the selected rates."""
    free: tuple[Run, ...]
    """Runs at the free rates, which are the selected ones where they are equal."""
    claims: tuple[tuple[Claim, tuple[Judged, ...]], ...]
    tables: Mapping[Condition, ConditionTables]
    """Of the conditions that have a run."""

    def of(self, condition: Condition) -> list[Run]:
        """Runs of a condition at the selected rates."""
        return _of(condition, self.main)


def _of(condition: Condition, runs: Sequence[Run]) -> list[Run]:
    return matching(
        runs,
        protocol=condition.protocol,
        expert=condition.expert,
        rewriter=condition.rewriter,
    )


def conditions_of(study: StudyConfig) -> list[Condition]:
    """All conditions that the order names, by first place."""
    return list(
        dict.fromkeys(
            Condition(protocol, expert, rewriter)
            for entry in study.order
            if entry.kind != "sweep" and tuple(entry.arms) != (BASE_ARM,)
            for rewriter in entry.rewriters
            for protocol in entry.protocols
            for expert in entry.experts
        )
    )


def analyse(study: StudyConfig, summaries: Mapping[str, Mapping[str, JSON]]) -> Analysis:
    """Judge the claims by the finished cells."""
    runs = runs_of(summaries.values())
    main = [run for run in runs if _is_at_rate(study, run, summaries, free=False)]
    free = [run for run in runs if _is_at_rate(study, run, summaries, free=True)]
    conditions = conditions_of(study)
    claims = [
        (claim, tuple(judged(claim, conditions, tuple(study.arms), main, free))) for claim in CLAIMS
    ]
    tables = {c: condition_tables(own) for c in conditions if (own := _of(c, main))}
    return Analysis(tuple(conditions), tuple(main), tuple(free), tuple(claims), tables)


def _is_at_rate(
    study: StudyConfig, run: Run, summaries: Mapping[str, Mapping[str, JSON]], *, free: bool
) -> bool:
    cell = run.cell
    expert = "alien" if cell["expert"] == ANY else cell["expert"]
    rate = chosen_rate(study, cell["arm"], cell["protocol"], expert, summaries, free=free)
    return rate == cell["rate"]


def sweep_rows(
    study: StudyConfig, summaries: Mapping[str, Mapping[str, JSON]]
) -> list[dict[str, str]]:
    """Every sweep that was begun: outcomes at its rates, and what was chosen."""
    rows = []
    asked = [
        (protocol, expert, arm)
        for entry in study.order
        if entry.kind == "sweep"
        for protocol in entry.protocols
        for expert in entry.experts
        for arm in entry.arms
    ]
    seen = set()
    for protocol, expert, arm in asked:
        cells = sweep_cells(study, arm, protocol, expert, summaries)
        done = [validated(summaries[c.cell_id]) for c in cells if c.cell_id in summaries]
        name = cells[0].expert
        if not done or (protocol, name, arm) in seen:
            continue
        seen.add((protocol, name, arm))
        chosen = [
            chosen_rate(study, arm, protocol, expert, summaries, free=free)
            for free in (False, True)
        ]
        texts = [
            f"{one.rate:.1e}: {one.hard:.2f}, {one.retention_loss:.2f}"
            for one in sorted(done, key=lambda one: one.rate)
        ]
        rows.append(
            {
                "condition": f"{protocol}, {name}",
                "arm": arm,
                "outcomes": "<br>".join(texts),
                **{
                    field: "sweep not finished" if rate is None else f"{rate:.1e}"
                    for field, rate in zip(("selected", "free"), chosen, strict=True)
                },
            }
        )
    return rows


def verdict_lines(analysis: Analysis, card: str) -> list[str]:
    """The table of claims."""
    return pages.verdict_table(analysis.claims, card)


def lost_lines(analysis: Analysis) -> list[str]:
    """What claim 1 is about, in its two parts."""
    return pages.lost_table({c: _of(c, analysis.free) for c in analysis.tables}, ("sft", "repo"))


def card_json(
    study: StudyConfig, summaries: Mapping[str, Mapping[str, JSON]], analysis: Analysis
) -> JSON:
    """The card as data: verdicts with their effects, tables, sweep and where all came from."""
    return to_json(
        {
            "study": study.name,
            "command": f"rephrase-rl study {study.name}",
            "cells": len(summaries),
            "claims": [
                {
                    "claim": claim.words,
                    "endpoint": claim.endpoint,
                    "verdict": overall(rows),
                    "conditions": rows,
                }
                for claim, rows in analysis.claims
            ],
            "conditions": [
                {
                    "condition": condition,
                    "equal_prompts": tables.equal_prompts,
                    "equal_tokens": tables.equal_tokens,
                    "behaviour": tables.behaviour,
                }
                for condition, tables in analysis.tables.items()
            ],
            "sweep": sweep_rows(study, summaries),
            "made_with": made_with(summaries),
        }
    )


def card_lines(
    study: StudyConfig, summaries: Mapping[str, Mapping[str, JSON]], analysis: Analysis
) -> list[str]:
    """The card as a page."""
    lines = [
        f"# Study `{study.name}`",
        "",
        f"Made by `rephrase-rl study {study.name}` and `make results`, by the rules of",
        "[PLAN.md](../PLAN.md). Every number is computed from the summaries in `runs/`.",
        "",
        *_extent(study, summaries),
        "",
        "## Verdicts",
        "",
        *pages.verdict_table(analysis.claims, ""),
        "",
        "Hard gain against retention loss, a point for each run:",
        "",
        "![hard gain against retention loss](trilemma.svg)",
        "",
        "Validation accuracy on hard problems over the steps, mean over runs:",
        "",
        "![learning curves](curves.svg)",
        "",
        "## Claims",
        "",
    ]
    for claim, rows in analysis.claims:
        lines += pages.claim_section(claim, rows)
    lines += ["## Conditions", ""]
    for condition, tables in analysis.tables.items():
        lines += pages.condition_section(condition, tables)
    by_policy = {c: analysis.of(c) for c in analysis.tables}
    lines += ["## By starting policy", "", BY_POLICY, "", *pages.by_policy_table(by_policy), ""]
    lines += ["What is lost at the free rates:", "", *lost_lines(analysis), ""]
    lines += [
        "## Learning rates",
        "",
        "On the validation, one run for each rate, shipped policy.",
        "",
    ]
    lines += ["![front over learning rates](rates.svg)", ""]
    lines += [*pages.rates_table(sweep_rows(study, summaries)), ""]
    lines += ["## Starting policies", "", *policies_table(summaries), ""]
    return [*lines, "## Made with", "", *made_with(summaries), ""]


def _extent(study: StudyConfig, summaries: Mapping[str, Mapping[str, JSON]]) -> list[str]:
    cells = [summary["cell"] for summary in summaries.values()]
    sweep = sum(cell["sweep"] for cell in cells)
    bases = sum(cell["arm"] == BASE_ARM for cell in cells)
    ran = {c for c in conditions_of(study) if _was_run(c, cells)}
    left = [c.name for c in conditions_of(study) if c not in ran]
    counted = len(cells) - bases - sweep
    lines = [
        f"Finished: {len(cells)} cells; {bases} are starting policies, {sweep} runs of the sweep,",
        f"{counted} runs that count.",
    ]
    return [*lines, f"Conditions not begun: {'; '.join(left)}." if left else ""]


def _was_run(condition: Condition, cells: Sequence[Mapping[str, JSON]]) -> bool:
    return any(
        cell["protocol"] == condition.protocol
        and cell["expert"] == condition.expert
        and cell["rewriter"] == condition.rewriter
        and not cell["sweep"]
        for cell in cells
    )
