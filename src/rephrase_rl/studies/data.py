"""Training sets of a study, as files in the canonical columns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rephrase_rl.data.writing import canonical_row
from rephrase_rl.lab.abilities import ABILITIES
from rephrase_rl.lab.bars import own_solution
from rephrase_rl.lab.chains import ANSWER_MARK, HARD_LEVELS
from rephrase_rl.lab.problems import CHAIN, mixed_training_problems
from rephrase_rl.runs import atomic, jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rephrase_rl.config.study import ProblemMixConfig
    from rephrase_rl.lab.experts import ExpertStyle
    from rephrase_rl.records import Problem


def training_problems(
    mix: ProblemMixConfig, count: int, seed: int, expert: ExpertStyle, texts: str
) -> list[Problem]:
    """Problems of a training set; every window has the shares of the whole.

    Args:
        mix: Shares.
        count: How many problems.
        seed: Same seed, same problems, whoever the expert is.
        expert: Style of the expert of hard problems.
        texts: ``hard``: only hard problems have a text. ``all``: the others have their right
            solution in the policy's own style.
    """
    problems = mixed_training_problems(
        count, seed, expert=expert, hard_share=mix.hard, easy_share=mix.easy
    )
    if texts == "hard":
        return problems
    return [p if p.expert_solution is not None else _with_own_text(p) for p in problems]


def _with_own_text(problem: Problem) -> Problem:
    is_ability = problem.metadata["kind"] in ABILITIES
    text = ANSWER_MARK + problem.reference_answer if is_ability else own_solution(problem)
    return dataclasses.replace(problem, expert_solution=text)


def is_hard(problem: Problem) -> bool:
    """Whether a problem is one that the starting policies fail on."""
    return problem.metadata["kind"] == CHAIN and problem.metadata["level"] in HARD_LEVELS


def rotated(problems: Sequence[Problem], first: int) -> list[Problem]:
    """The problems from number ``first`` on, then the ones before it."""
    return [*problems[first:], *problems[:first]]


def write_problems(path: Path, problems: Sequence[Problem]) -> Path:
    """Write problems as JSONL that ``data.path`` can name."""
    with atomic.replacing(path) as file:
        for problem in problems:
            file.write(jsonl.encode(canonical_row(problem)) + b"\n")
    return path
