"""The reproducibility card: what was run, on what, at what cost, with what outcome.

``build_card`` gives plain JSON; the Markdown and HTML versions are renderings of it. Facts that a
run did not record are null and shown as "not recorded", never left out.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

from rephrase_rl.records import to_json
from rephrase_rl.reports.evaluations import first_of_each, last_of_each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.records import JSON
    from rephrase_rl.reports.budgets import Budget
    from rephrase_rl.reports.evaluations import EvaluationRow
    from rephrase_rl.reports.group_tally import GroupTally
    from rephrase_rl.runs import RunDirectory

CARD_VERSION = 1

MANIFEST_FACTS = ("method", "model", "command", "started_at", "versions", "hardware")
"""Taken over from the manifest as they are."""
UNKNOWN_CODE: Mapping[str, JSON] = {"commit": None, "dirty": None, "reason": None}


def build_card(
    run: RunDirectory,
    budget: Budget,
    evaluations: Sequence[EvaluationRow],
    tally: GroupTally,
) -> dict[str, JSON]:
    """Gather the card of one run.

    Args:
        run: The run; its manifest may hold ``method``, ``model``, ``data``, ``templates``,
            ``seeds`` and ``deviations``.
        budget: From ``budgets.measure_budget``.
        evaluations: Every evaluation of the run.
        tally: Counts over all groups.

    Returns:
        A JSON object; ``evaluations`` holds the last of each benchmark, ``first_evaluations`` the
        first where that is another one.
    """
    manifest = run.manifest
    config = run.config_yaml
    final = list(last_of_each(evaluations).values())
    first = first_of_each(evaluations)
    earlier = [first[row.benchmark] for row in final if first[row.benchmark].step != row.step]
    seeds = manifest.get("seeds") or {}
    return {
        "card_version": CARD_VERSION,
        "run": run.path.resolve().name,
        "finished": run.summary is not None,
        **{name: manifest.get(name) for name in MANIFEST_FACTS},
        "code": {**UNKNOWN_CODE, **(manifest.get("git") or {"reason": "not recorded"})},
        "config": {"sha256": hashlib.sha256(config.encode()).hexdigest(), "yaml": config},
        "data": manifest.get("data"),
        "templates": manifest.get("templates"),
        "seeds": {"run": manifest.get("seed"), **seeds} if isinstance(seeds, dict) else seeds,
        "cost": _cost(budget),
        "evaluations": to_json(final),
        "first_evaluations": to_json(earlier),
        "groups": tally.to_json(),
        "deviations": _deviations(manifest.get("deviations")),
    }


def _cost(budget: Budget) -> dict[str, JSON]:
    return {
        "steps": budget.num_steps,
        "wall_s": budget.wall_s,
        "wall_s_source": budget.wall_source,
        "tokens_rollouts": dataclasses.asdict(budget.rollout),
        "tokens_rephrases": dataclasses.asdict(budget.rephrase),
        "tokens_evaluation": budget.evaluation_tokens,
        "tokens_training": budget.training_tokens,
    }


def _deviations(entries: JSON) -> list[str] | None:
    """Return deviations as sentences; None if the run does not say."""
    if entries is None:
        return None
    if isinstance(entries, str):
        return [entries]
    if isinstance(entries, dict):
        return [f"{name}: {text}" for name, text in entries.items()]
    return [str(entry) for entry in entries]
