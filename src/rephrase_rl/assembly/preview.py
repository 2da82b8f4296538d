"""What the policy will see: rendered prompts of a configuration, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import (
    load_data,
    load_model,
    rephrase_template,
    solve_template,
)
from rephrase_rl.prompts import render_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import RunConfig
    from rephrase_rl.records import Message, Problem


def prompt_preview(config: RunConfig, rows: int) -> list[dict[str, Any]]:
    """The exact prompt strings of the first problems, with their lengths in tokens.

    Args:
        config: The run; its policy's tokenizer and chat template are used.
        rows: How many problems.

    Returns:
        Per problem ``problem_id``, ``solve_prompt``, ``solve_tokens``, and, if it has an expert
        solution, ``rephrase_prompt``, ``rephrase_tokens``, ``expert_tokens`` (else None).
    """
    tokenizer = load_model(config.model).tokenizer
    problems = [problem for data in config.data for problem in load_data(data)[:rows]]
    return preview_problems(config, problems[:rows], tokenizer)


def preview_problems(
    config: RunConfig, problems: Sequence[Problem], tokenizer: Any
) -> list[dict[str, Any]]:
    """As ``prompt_preview``, of problems and a tokenizer that are at hand."""
    template_kwargs = config.trainer.get("chat_template_kwargs") or {}

    def rendered(messages: tuple[Message, ...]) -> tuple[str, int]:
        conversation = [dict(message) for message in messages]
        text = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=False, **template_kwargs
        )
        return text, len(tokenizer.encode(text, add_special_tokens=False))

    previews: list[dict[str, Any]] = []
    for problem in problems:
        solve, solve_tokens = rendered(
            render_prompt(problem, solve_template(problem, config.prompts))
        )
        row: dict[str, Any] = {
            "problem_id": problem.problem_id,
            "solve_prompt": solve,
            "solve_tokens": solve_tokens,
            "rephrase_prompt": None,
            "rephrase_tokens": None,
            "expert_tokens": None,
        }
        if problem.expert_solution is not None:
            prompt = render_prompt(problem, rephrase_template(problem, config.prompts))
            row["rephrase_prompt"], row["rephrase_tokens"] = rendered(prompt)
            row["expert_tokens"] = len(
                tokenizer.encode(problem.expert_solution, add_special_tokens=False)
            )
        previews.append(row)
    return previews
