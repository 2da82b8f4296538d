"""A token budget for the expert's text: what happens over it is chosen, recorded, never silent."""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rephrase_rl.records import Problem

OverBudget = Literal["refuse", "cut", "leave_out"]
Fate = Literal["fits", "cut", "left_out", "refused"]

FATE_KEY = "expert_budget"
"""Metadata key of a text that was cut or left out: what became of it, its tokens and the budget."""

_PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")


@dataclass(frozen=True, slots=True)
class ExpertBudget:
    """How long the expert's text may be, and what becomes of a longer one."""

    max_tokens: int
    over: OverBudget = "refuse"
    """refuse: the problem is not used, and whoever loads it raises; cut: at the end of the last
    paragraph that fits; leave_out: the problem is trained without its expert."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A problem under a budget."""

    problem: Problem
    fate: Fate
    num_tokens: int
    """Tokens of the text before anything was done; 0 without one."""


def fit_expert(
    problem: Problem, budget: ExpertBudget, count_tokens: Callable[[str], int]
) -> Fitted:
    """Apply a budget to one problem.

    A text whose first paragraph alone is too long cannot be cut: it is refused. What was cut or
    left out stands in the metadata under ``expert_budget``.

    Args:
        problem: With or without an expert's text.
        budget: In tokens of ``count_tokens``.
        count_tokens: Length of a text in the policy's tokens.
    """
    text = problem.expert_solution
    if text is None:
        return Fitted(problem, "fits", 0)
    num_tokens = count_tokens(text)
    if num_tokens <= budget.max_tokens:
        return Fitted(problem, "fits", num_tokens)
    if budget.over == "leave_out":
        return Fitted(_noted(problem, None, "left_out", num_tokens, budget), "left_out", num_tokens)
    shorter = _whole_paragraphs(text, budget, count_tokens) if budget.over == "cut" else None
    if shorter is None:
        return Fitted(problem, "refused", num_tokens)
    return Fitted(_noted(problem, shorter, "cut", num_tokens, budget), "cut", num_tokens)


def _whole_paragraphs(
    text: str, budget: ExpertBudget, count_tokens: Callable[[str], int]
) -> str | None:
    """The longest run of paragraphs from the start that fits; None if not even the first does."""
    ends = [
        match.start() for match in _PARAGRAPH_END.finditer(text) if text[: match.start()].strip()
    ]
    fitting = bisect.bisect_right(
        ends, budget.max_tokens, key=lambda end: count_tokens(text[:end].rstrip())
    )
    return text[: ends[fitting - 1]].rstrip() if fitting else None


def _noted(
    problem: Problem, text: str | None, fate: Fate, num_tokens: int, budget: ExpertBudget
) -> Problem:
    record = {"fate": fate, "tokens": num_tokens, "max_tokens": budget.max_tokens}
    return dataclasses.replace(
        problem, expert_solution=text, metadata={**problem.metadata, FATE_KEY: record}
    )
