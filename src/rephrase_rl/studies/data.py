"""Training sets of a study, as files in the canonical columns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from rephrase_rl.data.writing import canonical_row
from rephrase_rl.lab.abilities import ABILITIES
from rephrase_rl.lab.chains import ANSWER_MARK
from rephrase_rl.lab.families import CHAIN, family_named, own_solution
from rephrase_rl.lab.families import is_hard as is_hard_question
from rephrase_rl.lab.problems import TASK_KIND, mixed_training_problems
from rephrase_rl.prompts.rendering import render_prompt
from rephrase_rl.prompts.templates import default_template
from rephrase_rl.runs import atomic, jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rephrase_rl.config.study import ProblemMixConfig
    from rephrase_rl.lab.experts import ExpertStyle
    from rephrase_rl.prompts.templates import PromptTemplate
    from rephrase_rl.records import Problem

REWRITING = "rewriting"
"""Kind of a hard problem that is asked with its expert's text."""


def training_problems(
    mix: ProblemMixConfig,
    count: int,
    seed: int,
    expert: ExpertStyle,
    texts: str,
    family: str = CHAIN.kind,
) -> list[Problem]:
    """Problems of a training set; every window has the shares of the whole.

    Args:
        mix: Shares.
        count: How many problems.
        seed: Same seed, same problems, whoever the expert is.
        expert: Style of the expert of hard problems.
        texts: ``hard``: only hard problems have a text. ``all``: the others have their right
            solution in the policy's own style.
        family: Name of the task family of hard and easy problems.
    """
    problems = mixed_training_problems(
        count,
        seed,
        expert=expert,
        expert_error_rate=mix.wrong_experts,
        hard_share=mix.hard,
        easy_share=mix.easy,
        easy_levels=mix.easy_levels,
        family=family_named(family),
    )
    problems = _some_as_rewriting(problems, mix.rewriting)
    if texts == "hard":
        return problems
    return [p if p.expert_solution is not None else _with_own_text(p) for p in problems]


def _some_as_rewriting(problems: Sequence[Problem], share: float) -> list[Problem]:
    """Ask a share of the hard problems, evenly spread, with their expert's text."""
    template = default_template(TASK_KIND, "rephrase")
    made, seen = [], 0
    for problem in problems:
        if is_hard(problem):
            seen += 1
            # Every time that the running count passes a whole number.
            if int(seen * share) > int((seen - 1) * share):
                made.append(_as_rewriting(problem, template))
                continue
        made.append(problem)
    return made


def _as_rewriting(problem: Problem, template: PromptTemplate) -> Problem:
    return dataclasses.replace(
        problem,
        problem_id=f"{REWRITING}/{problem.question}",
        messages=render_prompt(problem, template),
        expert_solution=None,
        metadata={**problem.metadata, "kind": REWRITING},
    )


def _with_own_text(problem: Problem) -> Problem:
    kind = problem.metadata["kind"]
    if kind in ABILITIES:
        text = ANSWER_MARK + problem.reference_answer
    elif kind == REWRITING:
        asked = problem.problem_id.removeprefix(f"{REWRITING}/")
        plain = ({"role": "user", "content": asked},)
        text = own_solution(dataclasses.replace(problem, messages=plain))
    else:
        text = own_solution(problem)
    return dataclasses.replace(problem, expert_solution=text)


def is_hard(problem: Problem) -> bool:
    """Whether a problem is one that the starting policies fail on."""
    return is_hard_question(problem.metadata["kind"], problem.question)


def rotated(problems: Sequence[Problem], first: int) -> list[Problem]:
    """The problems from number ``first`` on, then the ones before it."""
    return [*problems[first:], *problems[:first]]


def write_problems(path: Path, problems: Sequence[Problem]) -> Path:
    """Write problems as JSONL that ``data.path`` can name."""
    with atomic.replacing(path) as file:
        for problem in problems:
            file.write(jsonl.encode(canonical_row(problem)) + b"\n")
    return path
