"""Markdown of a study: tables, verdicts, and the card that holds them together."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from rephrase_rl.config.study import BASE_ARM
from rephrase_rl.studies.tables import ARMS, THRESHOLDS
from rephrase_rl.studies.verdicts import overall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.studies.effects import Effect
    from rephrase_rl.studies.outcomes import Run
    from rephrase_rl.studies.tables import Behaviour, ConditionTables, Row
    from rephrase_rl.studies.verdicts import Claim, Condition, Judged


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def interval(found: Effect) -> str:
    """A figure with its interval; without one where a single run has none."""
    if math.isnan(found.low):
        return f"{found.difference:z.3f}"
    return f"{found.difference:z.3f} [{found.low:z.3f}, {found.high:z.3f}]"


def p_value(found: Effect) -> str:
    """A p-value, or a dash where there is no test."""
    return "-" if found.p_value is None else f"{found.p_value:.4f}"


def verdict_table(
    claims: Sequence[tuple[Claim, Sequence[Judged]]], card: str = "card.md"
) -> list[str]:
    """Claim, verdict, effect, card: one line per claim.

    Args:
        claims: Each with its conditions.
        card: Path to the card from where the table stands.
    """
    rows = []
    for claim, judged in claims:
        shown = [_in_short(row) for row in judged if row.effects]
        several = any(len(_compared(row.effects)) > 1 for row in judged)
        endpoint = f"{claim.endpoint}; the smallest" if several else claim.endpoint
        link = f"[card]({card}#claim-{claim.number})"
        rows.append([claim.words, overall(judged), "<br>".join([endpoint, *shown]), link])
    return table(["claim", "verdict", "effect, 95 % interval", "card"], rows)


def _in_short(row: Judged) -> str:
    """A condition with the effect that the claim hangs on there: of several the smallest."""
    where = f"{row.condition.protocol}, {row.condition.expert}, {row.condition.rewriter}"
    compared = _compared(row.effects)
    shown = min(compared, key=lambda one: one.difference)
    arms = f" ({shown.what.rpartition(', ')[2]})" if len(compared) > 1 else ""
    verdict = f"**{row.verdict}**" if row.verdict == "holds" else row.verdict
    return f"{where}: {interval(shown)}{arms} {verdict}"


def _compared(effects: Sequence[Effect]) -> list[Effect]:
    """Differences between arms, if the claim is about some."""
    return [one for one in effects if one.p_value is not None] or list(effects)


def claim_section(claim: Claim, judged: Sequence[Judged]) -> list[str]:
    """A claim in every condition, under its heading."""
    lines = [f"### Claim {claim.number}", "", f"{claim.words}. Primary endpoint: {claim.endpoint}."]
    return [*lines, *claim_effects(judged)]


def claim_effects(judged: Sequence[Judged]) -> list[str]:
    """The verdict and all effects of a claim in every condition."""
    lines = [f"Verdict: **{overall(judged)}**.", ""]
    rows = [
        [
            *(row.condition.name, row.verdict, one.what, interval(one)),
            *(_ends(one.bootstrap_low, one.bootstrap_high), _ends(*one.over_policies)),
            *(p_value(one), _seeds(one)),
        ]
        for row in judged
        for one in row.effects
    ]
    head = ["condition", "verdict", "effect", "95 % t interval", "bootstrap", "over policies"]
    head += ["p (Holm)", "runs"]
    return [*lines, *table(head, rows), ""] if rows else lines


def _ends(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"[{low:z.3f}, {high:z.3f}]"


def _seeds(found: Effect) -> str:
    first, second = found.seeds
    return f"{first} and {second}" if second else str(first)


def condition_section(condition: Condition, tables: ConditionTables) -> list[str]:
    """Both tables of a condition and what the runs did besides."""
    return [
        f"### {condition.name}",
        "",
        "Equal prompts: after 640 training problems, each once.",
        "",
        *levels_table(tables.equal_prompts),
        "",
        "Equal generated tokens: at most as many sampled sequences as `grpo` in 40 steps.",
        "",
        *levels_table(tables.equal_tokens),
        "",
        "What the runs did, at the end of training.",
        "",
        *behaviour_table(tables.behaviour),
        "",
    ]


def levels_table(rows: Sequence[Row]) -> list[str]:
    """One of the two tables."""
    head = ["arm", "runs", "hard avg@4", "hard pass@8", "easy", "abilities", "`sort`", "tokens"]
    return table(
        head,
        [
            [
                row.arm,
                str(row.seeds),
                interval(row.hard),
                interval(row.passed),
                interval(row.easy),
                f"{row.in_batch:.3f}",
                f"{row.held_out:.3f}",
                "" if row.tokens is None else f"{row.tokens:,.0f}",
            ]
            for row in rows
        ],
    )


def headline_table(tables: ConditionTables) -> list[str]:
    """Equal prompts in short, with what each arm cost until then."""
    return table(
        ["arm", "runs", "hard", "retention loss", "generated tokens", "CPU seconds"],
        [
            [
                row.arm,
                str(row.seeds),
                interval(row.hard),
                "" if row.lost is None else interval(row.lost),
                "" if row.tokens is None else f"{row.tokens:,.0f}",
                "" if row.cpu_s is None else f"{row.cpu_s:.0f}",
            ]
            for row in tables.equal_prompts
        ],
    )


def overview_table(conditions: Mapping[Condition, ConditionTables]) -> list[str]:
    """Every arm in each condition at equal prompts: hard accuracy, and what was lost elsewhere."""
    levels = [{row.arm: row for row in tables.equal_prompts} for tables in conditions.values()]
    rows = []
    for arm in (BASE_ARM, *ARMS):
        cells = [_overview_cell(level.get(arm)) for level in levels]
        if any(cells):
            rows.append([f"`{arm}`", *cells])
    return table(["arm", *(f"{c.protocol}, {c.expert} expert" for c in conditions)], rows)


def _overview_cell(level: Row | None) -> str:
    if level is None:
        return ""
    if level.lost is None:
        return f"**{level.hard.difference:z.3f}**"
    return f"**{interval(level.hard)}**<br>lost {interval(level.lost)}"


def by_policy_table(conditions: Mapping[Condition, Sequence[Run]]) -> list[str]:
    """Hard accuracy at equal prompts of every arm, a mean for each starting policy in turn.

    Args:
        conditions: Each with its runs.
    """
    rows = []
    for arm in ARMS:
        cells = [
            _by_policy([run for run in of if run.cell["arm"] == arm]) for of in conditions.values()
        ]
        if any(cells):
            rows.append([f"`{arm}`", *cells])
    return table(["arm", *(f"{c.protocol}, {c.expert}, {c.rewriter}" for c in conditions)], rows)


def _by_policy(runs: Sequence[Run]) -> str:
    found: dict[str, list[float]] = {}
    for run in sorted(runs, key=lambda run: run.policy):
        found.setdefault(run.policy, []).append(float(run.equal_prompts.hard.mean()))
    return " ".join(f"{fmean(own):.2f}" for own in found.values())


def lost_table(conditions: Mapping[Condition, Sequence[Run]], arms: Sequence[str]) -> list[str]:
    """What arms lose at the end, on easy problems of the domain and on other abilities; means.

    Args:
        conditions: Each with its runs.
        arms: To show; a condition is left out where one of them has no run.
    """
    rows = []
    for condition, runs in conditions.items():
        own = [[run for run in runs if run.cell["arm"] == arm] for arm in arms]
        if all(own):
            rows.append([condition.name, *(cell for of in own for cell in _lost(of))])
    head = [f"`{arm}`: {part}" for arm in arms for part in ("easy problems", "abilities")]
    return table(["condition", *head], rows)


def _lost(runs: Sequence[Run]) -> list[str]:
    pairs = [(run.base, run.tests[run.last]) for run in runs]
    easy = fmean(float(base.easy.mean() - after.easy.mean()) for base, after in pairs)
    abilities = fmean(base.all_abilities - after.all_abilities for base, after in pairs)
    return [f"{easy:z.3f}", f"{abilities:z.3f}"]


def behaviour_table(rows: Sequence[Behaviour]) -> list[str]:
    """What the runs did besides."""
    head = ["arm", "rate", "retention loss", "utilisation", "unstable", "collapses", "spikes"]
    head += ["text, nats", "own, nats", "steps right"]
    head += [f"hard {threshold:.2f}: runs; tokens; CPU s" for threshold in THRESHOLDS]
    head += ["CPU s"]
    return table(
        head,
        [
            [
                row.arm,
                f"{row.rate:.1e}",
                interval(row.retention_loss),
                _number(row.utilisation),
                f"{row.unstable} of {row.seeds}",
                str(row.collapses),
                f"{row.spikes:.1f}",
                _number(row.injected_logp, 2),
                _number(row.own_logp, 2),
                _number(row.steps_valid),
                *(_reached(row, threshold) for threshold in THRESHOLDS),
                f"{row.cpu_s:.0f}",
            ]
            for row in rows
        ],
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _reached(row: Behaviour, threshold: float) -> str:
    runs, tokens, seconds = row.reached[threshold]
    if tokens is None or seconds is None:
        return f"{runs} of {row.seeds}"
    return f"{runs} of {row.seeds}; {tokens:,.0f}; {seconds:.1f}"


def rates_table(sweep: Sequence[Mapping[str, object]]) -> list[str]:
    """The sweep: validation accuracy and retention loss at every rate, and what was chosen."""
    rows = [
        [
            str(row["condition"]),
            str(row["arm"]),
            *(str(row[name]) for name in ("outcomes", "selected", "free")),
        ]
        for row in sweep
    ]
    head = ["condition", "arm", "rate: hard, retention loss", "selected", "free"]
    return table(head, rows)
