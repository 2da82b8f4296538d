"""Several training sets in one run: their problems in the asked proportions, and their gates."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from datasets import Dataset, interleave_datasets

from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.seeding import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import GuidanceConfig, RunConfig, TrainDataConfig
    from rephrase_rl.records import JSON, Problem

logger = logging.getLogger(__name__)


def named_after(
    config: RunConfig, data: TrainDataConfig, problems: Sequence[Problem]
) -> list[Problem]:
    """The problems of a set with its name; without one where the run has no other set."""
    if len(config.data) == 1:
        return list(problems)
    return [dataclasses.replace(problem, dataset=data.name) for problem in problems]


def mix_sets(config: RunConfig, sets: Sequence[Sequence[Problem]]) -> list[Problem]:
    """One list of the problems of all sets.

    With weights each place is drawn independently from a set in proportion to its weight, in the
    set's own order, until every problem of every set has been drawn; smaller sets start again.

    Args:
        config: The run, resolved or not; its seed decides the draw.
        sets: The problems of each of ``config.data``, in order.

    Raises:
        DataError: A problem id occurs in two sets.
    """
    named = [
        named_after(config, data, problems)
        for data, problems in zip(config.data, sets, strict=True)
    ]
    _refuse_shared_ids(named)
    problems = [problem for of_set in named for problem in of_set]
    weights = [data.weight for data in config.data if data.weight is not None]
    if len(named) == 1 or not weights:
        return problems
    starts = [sum(map(len, named[:i])) for i in range(len(named))]
    places = interleave_datasets(
        [
            Dataset.from_dict({"place": range(start, start + len(of_set))})
            for start, of_set in zip(starts, named, strict=True)
        ],
        probabilities=[weight / sum(weights) for weight in weights],
        seed=derive_seed(config.seed, "mixture") % 2**32,
        stopping_strategy="all_exhausted",
    )
    mixed = [problems[place] for place in places["place"]]
    drawn = Counter(problem.dataset for problem in mixed)
    shares = ", ".join(f"{data.name} {drawn[data.name] / len(mixed):.1%}" for data in config.data)
    logger.info("mixture of %d rows: %s", len(mixed), shares)
    return mixed


def mixture_entry(config: RunConfig, problems: Sequence[Problem]) -> dict[str, JSON]:
    """What the manifest says of the sets: problems, rows and their share; nothing of a lone set.

    ``num_problems`` counts a problem that was drawn several times once.
    """
    if len(config.data) == 1:
        return {}
    rows = Counter(problem.dataset for problem in problems)
    distinct = Counter(name for name, _ in {(p.dataset, p.problem_id) for p in problems})
    return {
        "num_problems": sum(distinct.values()),
        "mixture": {
            data.name: {
                "weight": data.weight,
                "problems": distinct[data.name],
                "rows": rows[data.name],
                "share": rows[data.name] / len(problems),
            }
            for data in config.data
        },
    }


def gates_of_sets(config: RunConfig, guidance: GuidanceConfig) -> dict[str, Any]:
    """The gates that sets have of their own, as data, by the name that their problems carry.

    Raises:
        ConfigError: A set's gate may open and the method has no source.
    """
    own = {data.name: data.gate for data in config.data if data.gate is not None}
    opening = [name for name, gate in own.items() if gate.kind != "never"]
    if opening and guidance.source.kind == "none":
        raise ConfigError(
            f"data: found a gate of {', '.join(opening)}, and method {config.method!r} has "
            "source.kind 'none', so it would open for nothing; choose a method with a source, or "
            "leave the gate out"
        )
    return {"" if len(config.data) == 1 else name: gate for name, gate in own.items()}


def refuse_gates_of_sets(config: RunConfig) -> None:
    """Refuse gates of sets where there are no rollouts to decide by.

    Raises:
        ConfigError: A set has one.
    """
    gated = [data.name for data in config.data if data.gate is not None]
    if gated:
        raise ConfigError(
            f"data: found a gate of {', '.join(gated)}, and method {config.method!r} trains on a "
            "data set without rollouts to decide by: leave it out"
        )


def _refuse_shared_ids(named: Sequence[Sequence[Problem]]) -> None:
    sets_of: dict[str, dict[str, None]] = {}
    for of_set in named:
        for problem in of_set:
            sets_of.setdefault(problem.problem_id, {})[problem.dataset] = None
    shared = [
        f"problem {problem_id!r}: {', '.join(names)}"
        for problem_id, names in sets_of.items()
        if len(names) > 1
    ]
    if shared:
        raise DataError(
            f"{len(shared)} problem ids occur in several sets of `data`; histories and records "
            "need one of its own for every problem: change the ids, or name no id column in the "
            "mapping, so that they are made of the source's name and the row",
            shared,
        )
