"""What training on hard problems alone costs, by level and ability: where does forgetting sit?

Two accounts of forgetting can be told apart. If weights drift, accuracy falls wherever it was
learned, and any other problems in the batch hold it. If the habit that hard problems teach is
carried over to their neighbours, accuracy falls at the easy level next to them alone, and only
problems of that level hold it.
"""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from rephrase_rl.lab.families import family_named, own_solution
from rephrase_rl.lab.problems import easy_problems
from rephrase_rl.records import Problem
from rephrase_rl.statistics.intervals import seed_mean_interval
from rephrase_rl.studies.pages import table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rephrase_rl.config import StudyConfig
    from rephrase_rl.studies.outcomes import Run, Tested


def easy_levels_of(study: StudyConfig) -> NDArray[np.int64]:
    """Level of each easy test problem, in the order in which summaries keep them."""
    (easy,) = [benchmark.data for benchmark in study.test if benchmark.name == "easy"]
    family = family_named(study.family)
    problems = easy_problems(easy.limit or 0, split="test", seed=easy.seed, family=family)
    return np.array([problem.metadata["level"] for problem in problems])


def forgetting_table(study: StudyConfig, runs: Sequence[Run]) -> list[str]:
    """Accuracy of the baseline by kind of batch: each easy level, the abilities, hard problems.

    Rows are the protocols without a share of general problems in which the baseline was run with
    the alien expert and policies that rewrite well, and their starting policies.
    """
    levels = easy_levels_of(study)
    ours = [
        run
        for run in runs
        if (run.cell["arm"], run.cell["expert"], run.cell["rewriter"])
        == (study.baseline, "alien", "good")
    ]
    easy_levels = family_named(study.family).easy_levels
    measures = _measures(levels, easy_levels)
    rows = [["before training", "", *(_level([m(run.base) for run in ours]) for m in measures)]]
    for name, mix in study.protocols.items():
        own = [run for run in ours if run.cell["protocol"] == name]
        if own and mix.hard + mix.easy == 1.0:
            ends = [run.tests[run.last] for run in own]
            shown = (seed_mean_interval([measure(end) for end in ends]) for measure in measures)
            cells = (f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in shown)
            rows.append([f"`{name}`", str(len(own)), *cells])
    head = ["batches", "runs", *(f"level {level}" for level in easy_levels), "abilities", "hard"]
    return table(head, rows if ours else [])


def answers_too_long(question: str, text: str) -> bool:
    """Whether a solution has every step right and goes on in its answer after the right one.

    Example:
        >>> answers_too_long("7+2-0+8-1=", "7+2=9-0=9+8=7-1=6#99766")
        True
        >>> answers_too_long("7+2-0+8-1=", "7+2=9-0=9+8=7-1=6#9976")
        False
    """
    asked = ({"role": "user", "content": question},)
    right = own_solution(Problem(question, asked, ""))
    return text != right and text.startswith(right)


def _measures(
    levels: NDArray[np.int64], easy_levels: Sequence[int]
) -> list[Callable[[Tested], float]]:
    def at(level: int) -> Callable[[Tested], float]:
        return lambda tested: float(tested.easy[levels == level].mean())

    return [
        *(at(level) for level in easy_levels),
        lambda tested: float(np.concatenate(list(tested.general.values())).mean()),
        lambda tested: float(tested.hard.mean()),
    ]


def _level(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" if values else ""
