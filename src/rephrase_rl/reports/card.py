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

CARD_VERSION = 2

MANIFEST_FACTS = (
    *("method", "model", "command", "started_at", "versions", "hardware"),
    *("environment", "policy", "datasets", "contamination", "num_processes", "precision"),
)
"""Taken over from the manifest as they are."""
UNKNOWN_CODE: Mapping[str, JSON] = {"commit": None, "dirty": None, "reason": None}


def build_card(
    run: RunDirectory,
    budget: Budget,
    evaluations: Sequence[EvaluationRow],
    tally: GroupTally,
    faults: Sequence[str] = (),
) -> dict[str, JSON]:
    """Gather the card of one run.

    Args:
        run: The run; its manifest may hold ``MANIFEST_FACTS``, ``data``, ``templates``, ``seeds``
            and ``deviations``.
        budget: From ``budgets.measure_budget``.
        evaluations: Every evaluation of the run.
        tally: Counts over all groups.
        faults: From ``known_faults.known_faults``.

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
        **{name: manifest[name] for name in ("adapter", "own_code") if manifest.get(name)},
        "code": {**UNKNOWN_CODE, **(manifest.get("git") or {"reason": "not recorded"})},
        "config": {
            "sha256": hashlib.sha256(config.encode()).hexdigest(),
            "hash": manifest.get("config_hash"),
            "yaml": config,
        },
        "data": manifest.get("data"),
        "templates": manifest.get("templates"),
        "seeds": {"run": manifest.get("seed"), **seeds} if isinstance(seeds, dict) else seeds,
        "cost": _cost(budget, manifest),
        "evaluations": to_json(final),
        "first_evaluations": to_json(earlier),
        "groups": tally.to_json(),
        "deviations": _deviations(manifest.get("deviations")),
        "known_faults": list(faults),
    }


def gpu_hours(wall_s: float | None, manifest: Mapping[str, JSON]) -> float | None:
    """Hours of training times its GPUs, one for each process; 0 on a machine without.

    None where the run did not record its time, its hardware or the number of its processes.
    """
    hardware = manifest.get("hardware")
    gpus = hardware.get("gpus") if isinstance(hardware, dict) else None
    processes = manifest.get("num_processes")
    if wall_s is None or gpus is None or not (processes or not gpus):
        return None
    return wall_s / 3600 * processes if gpus and isinstance(processes, int) else 0.0


def _cost(budget: Budget, manifest: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        "steps": budget.num_steps,
        "wall_s": budget.wall_s,
        "wall_s_source": budget.wall_source,
        "gpu_hours": gpu_hours(budget.wall_s, manifest),
        "peak_memory_bytes": dict(budget.peak_memory_bytes),
        "problems": budget.prompts,
        "expert_texts": budget.expert_texts,
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
