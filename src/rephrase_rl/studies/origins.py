"""Where the numbers of a study come from: its starting policies, commits, machines and versions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rephrase_rl.config.study import BASE_ARM
from rephrase_rl.studies.pages import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rephrase_rl.records import JSON


def policies_table(summaries: Mapping[str, Mapping[str, JSON]]) -> list[str]:
    """The starting policies that were tested, with the lab's bars of each."""
    rows = []
    for summary in summaries.values():
        if summary["cell"]["arm"] != BASE_ARM:
            continue
        bars = summary["bars"]
        rewriting = ", ".join(f"{name} {share:.3f}" for name, share in bars["rewriting"].items())
        nll = ", ".join(f"{name} {value:.2f}" for name, value in bars["expert_nll"].items())
        rows.append(
            [
                summary["policy"]["name"],
                summary["policy"]["sha256"][:12],
                f"{min(bars['easy_accuracy'].values()):.3f}",
                f"{bars['hard_success']:.5f}",
                rewriting,
                f"{min(bars['abilities'].values()):.3f}",
                nll,
                f"{bars['own_nll']:.2f}",
            ]
        )
    head = ["policy", "weights", "easy, lowest", "hard", "rewriting", "ability, lowest"]
    return table([*head, "expert's text, nats per token", "own style"], rows)


def made_with(summaries: Mapping[str, Mapping[str, JSON]]) -> list[str]:
    """Commits, processors, versions and times of the cells, as a list."""
    commits = Counter(
        f"{s['git']['commit']}{' (with changes)' if s['git']['dirty'] else ''}"
        for s in summaries.values()
    )
    processors = Counter(s["hardware"]["cpu"] for s in summaries.values())
    versions = Counter(
        ", ".join(f"{name} {number}" for name, number in s["versions"].items())
        for s in summaries.values()
    )
    started = sorted(s["started_at"] for s in summaries.values())
    return [
        *(f"* commit {commit}: {count} cells" for commit, count in commits.most_common()),
        *(f"* {name}: {count} cells" for name, count in processors.most_common()),
        *(f"* {name}" for name, _ in versions.most_common()),
        f"* started between {started[0]} and {started[-1]}" if started else "* nothing yet",
    ]
