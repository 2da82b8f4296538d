"""Whether two evaluations measure the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.records import to_json
from rephrase_rl.reports.config_differences import flatten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.reports.evaluations import EvaluationRow

SIZES = ("num_problems", "samples_per_problem")
DRAWN_ANEW = ("seed",)
"""Entries of a protocol that may differ: the seed belongs to the run."""


def protocol_differences(rows: Sequence[EvaluationRow]) -> list[str]:
    """Names of the entries in which evaluations of one benchmark are not alike, sorted.

    Seeds of sampling may differ: they do between runs of different seeds.
    """
    facts = []
    for row in rows:
        protocol = {k: v for k, v in row.protocol.items() if k not in DRAWN_ANEW}
        sizes = {name: getattr(row, name) for name in SIZES}
        facts.append({**flatten(to_json(protocol), "protocol"), **sizes})
    names = sorted({name for fact in facts for name in fact})
    return [name for name in names if len({repr(fact.get(name)) for fact in facts}) > 1]
