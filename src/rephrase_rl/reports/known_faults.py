"""What is known to be wrong or weak about a run, found in its own records.

A reader of the card should not have to look for these: each is one sentence, with its number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rephrase_rl.reports.evaluations import last_of_each

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rephrase_rl.records import JSON, StepRecord
    from rephrase_rl.reports.budgets import Budget
    from rephrase_rl.reports.evaluations import EvaluationRow
    from rephrase_rl.reports.group_tally import GroupTally
    from rephrase_rl.runs import RunDirectory

MUCH = 0.1
"""Share of texts cut off at the length limit from which it is worth a sentence."""


def known_faults(
    run: RunDirectory,
    steps: Sequence[StepRecord],
    evaluations: Sequence[EvaluationRow],
    tally: GroupTally,
    budget: Budget,
) -> list[str]:
    """Sentences about a run's weaknesses, in the order of code, data, training, evaluation."""
    return [
        *_of_the_code(run),
        *_of_the_data(run.manifest),
        *_of_the_training(run, steps, tally, budget),
        *_of_the_evaluations(evaluations),
        "One run: another seed gives other figures; `rephrase-rl compare` takes several together.",
    ]


def _of_the_code(run: RunDirectory) -> Iterator[str]:
    manifest = run.manifest
    code = manifest.get("git") or {}
    if not code.get("commit"):
        yield f"The commit is not known ({code.get('reason') or 'not recorded'})."
    elif code.get("dirty"):
        yield "The code had uncommitted changes, so the commit does not say what ran."
    differing = _part(manifest, "environment").get("differing")
    if isinstance(differing, list) and differing:
        named = ", ".join(str(name) for name in differing[:5])
        yield f"{len(differing)} packages are not of the tested version: {named}."
    resumed = manifest.get("resumed")
    if isinstance(resumed, list) and resumed:
        places = ", ".join(str(_as_map(part).get("after_step")) for part in resumed)
        yield f"The run was resumed, after step {places}."
    if run.summary is None:
        yield "The run has no summary: it is still going on or was stopped."


def _of_the_data(manifest: Mapping[str, JSON]) -> Iterator[str]:
    for name, entry in _part(manifest, "datasets").items():
        facts = _as_map(entry)
        if facts.get("kind") == "hub" and not facts.get("revision"):
            yield f"{name} is from the hub without a revision, so it may change there."
    for name, entry in _part(manifest, "contamination").items():
        equal = _as_map(entry).get("equal_questions")
        if isinstance(equal, int) and equal > 0:
            yield f"{equal} of the {_as_map(entry).get('of')} questions of {name} are trained on."


def _of_the_training(
    run: RunDirectory, steps: Sequence[StepRecord], tally: GroupTally, budget: Budget
) -> Iterator[str]:
    refused = sum(bool(record.metrics.get("guard/refused")) for record in steps)
    if refused:
        yield f"{refused} steps were refused, since loss or gradient was not finite."
    constant = _as_map(run.summary).get("constant_reward")
    if constant:
        yield f"The reward never differed: {constant}."
    if tally.members_unscorable:
        yield f"{tally.members_unscorable:,} of {tally.members:,} rollouts could not be scored."
    if tally.members and tally.members_truncated >= MUCH * tally.members:
        share = tally.members_truncated / tally.members
        yield f"{share:.0%} of the rollouts were cut off at the length limit."
    missing = budget.rollout.steps_missing
    if steps and missing:
        yield f"{missing} of {len(steps)} steps have no count of tokens."


def _of_the_evaluations(evaluations: Sequence[EvaluationRow]) -> Iterator[str]:
    for name, row in last_of_each(evaluations).items():
        unscorable = row.unscorable
        count = sum(unscorable.values()) if isinstance(unscorable, Mapping) else unscorable
        if isinstance(count, int | float) and count:
            yield f"{count:,.0f} samples of {name} could not be scored."
        cut = row.truncated
        if isinstance(cut, float) and cut >= MUCH:
            yield f"{cut:.0%} of the samples of {name} were cut off at the length limit."


def _part(manifest: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    return _as_map(manifest.get(name))


def _as_map(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, Mapping) else {}
