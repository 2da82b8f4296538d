"""A method that learns from expert solutions is not run where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.assembly.blocks import build_source
from rephrase_rl.config import parse_guidance
from rephrase_rl.data.budget import FATE_KEY
from rephrase_rl.errors import DataError
from rephrase_rl.guidance.memory import needs_expert
from rephrase_rl.methods import resolve_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import GuidanceConfig, RunConfig
    from rephrase_rl.records import Problem


def refuse_without_experts(config: RunConfig, sets: Sequence[Sequence[Problem]]) -> None:
    """Refuse a run whose method learns from expert solutions and whose data has none to offer.

    Without them guidance has nothing to bring in, and the run would be plain GRPO by another name.

    Args:
        config: The run.
        sets: The problems of each of ``config.data``, in order, their experts within the budget.

    Raises:
        DataError: No problem that may be guided has an expert solution.
    """
    guidance = parse_guidance(resolve_config(config).guidance)
    if not _needs_expert(config, guidance):
        return
    supervised = guidance.slot.kind == "dataset"
    guided = [
        problem
        for data, problems in zip(config.data, sets, strict=True)
        if supervised or (data.gate or guidance.gate).kind != "never"
        for problem in problems
    ]
    if not guided or any(problem.expert_solution is not None for problem in guided):
        return
    left_out = sum(_was_left_out(problem) for problem in guided)
    why = f" ({left_out} were left out by data.expert_tokens)" if left_out else ""
    remedy = (
        "raise that budget or take another expert_part"
        if left_out
        else "name their column (data.mapping.expert_solution), or sample some with `rephrase-rl "
        "experts`"
    )
    raise DataError(
        f"none of the {len(guided)} problems has an expert solution{why}, which method "
        f"{config.method!r} learns from; required: at least one; do this: {remedy}; or train with "
        "method grpo"
    )


def _was_left_out(problem: Problem) -> bool:
    record = problem.metadata.get(FATE_KEY)
    return isinstance(record, dict) and record.get("fate") == "left_out"


def _needs_expert(config: RunConfig, guidance: GuidanceConfig) -> bool:
    """As the source itself says; one of the user's own is not asked."""
    if guidance.source.kind in ("none", "custom"):
        return False
    return needs_expert(build_source(guidance, config.prompts))
