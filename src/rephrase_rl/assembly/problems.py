"""The problems of a training run, their experts within the budget that the configuration sets."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING

from rephrase_rl.assembly.expert_need import refuse_without_experts
from rephrase_rl.assembly.mixture import mix_sets
from rephrase_rl.assembly.objects import load_data, load_model_tokenizer
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.data import ExpertBudget, fit_expert
from rephrase_rl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rephrase_rl.config import DataConfig, RunConfig
    from rephrase_rl.records import Problem


def training_problems(config: RunConfig) -> list[Problem]:
    """All problems of a run, mixed; where there is a budget for experts, within it.

    Warns of experts that were cut or left out; ``data check`` shows them.

    Raises:
        DataError: Rows are not usable; or experts exceed the budget and are to be refused, or have
            no paragraph that fits; every such row is listed. Or two sets share problem ids. Or the
            method learns from expert solutions and there is none.
    """
    return mix_sets(config, problems_of_sets(config))


def problems_of_sets(config: RunConfig) -> list[list[Problem]]:
    """The problems of each set as they are, their experts within the budget.

    Raises:
        DataError: As in ``training_problems``, but for ids.
    """
    count_tokens = token_counter(config) if any(d.expert_tokens for d in config.data) else len
    sets = [_within_budget(load_data(data), data, count_tokens) for data in config.data]
    refuse_without_experts(config, sets)
    return sets


def token_counter(config: RunConfig) -> Callable[[str], int]:
    """What counts a text in tokens of the policy that the run starts from."""
    tokenizer = load_model_tokenizer(starting_model(config))

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    return count


def expert_budget(data: DataConfig) -> ExpertBudget | None:
    """The budget of one data set; None if it has none."""
    if data.expert_tokens is None:
        return None
    return ExpertBudget(data.expert_tokens, data.over_expert_tokens)


def _within_budget(
    problems: list[Problem], data: DataConfig, count_tokens: Callable[[str], int]
) -> list[Problem]:
    budget = expert_budget(data)
    if budget is None:
        return problems
    fitted = [fit_expert(problem, budget, count_tokens) for problem in problems]
    refused = [
        f"problem {item.problem.problem_id!r}: {item.num_tokens} tokens"
        for item in fitted
        if item.fate == "refused"
    ]
    if refused:
        raise DataError(
            f"data.{data.name}: {len(refused)} of {len(problems)} expert solutions exceed "
            f"expert_tokens = {budget.max_tokens} (over_expert_tokens: {budget.over}); raise the "
            "budget, take another expert_part, or set over_expert_tokens to leave_out",
            refused,
        )
    fates = Counter(item.fate for item in fitted)
    if fates["cut"] or fates["left_out"]:
        warnings.warn(
            f"data.{data.name}: of {len(problems)} expert solutions, {fates['cut']} were cut and "
            f"{fates['left_out']} left out, since they exceed {budget.max_tokens} tokens",
            stacklevel=4,
        )
    return [item.problem for item in fitted]
