"""``data check``: one pass over the problems of a configuration, with all that a run would do.

The policy's tokenizer, the templates and the verifiers are those of the run; nothing is trained,
sampled or dropped. Where experts have thoughts, further passes measure each part of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.assembly.benchmarks import load_benchmarks
from rephrase_rl.assembly.check_judging import ExpertJudge
from rephrase_rl.assembly.check_parts import part_fits
from rephrase_rl.assembly.check_wording import Wording
from rephrase_rl.assembly.model_configs import starting_model_config
from rephrase_rl.assembly.objects import load_data, scan_data
from rephrase_rl.assembly.problems import expert_budget
from rephrase_rl.assembly.prompt_lengths import rewriting_room
from rephrase_rl.config import DataConfig, all_benchmarks, parse_guidance
from rephrase_rl.data import BadRow, fit_expert
from rephrase_rl.data.contamination import DEFAULT_WORDS, EvaluationIndex
from rephrase_rl.data.inspection import DataCheck, DataInspector
from rephrase_rl.data.part_fits import Limits
from rephrase_rl.errors import EngineError
from rephrase_rl.methods import resolve_config

if TYPE_CHECKING:
    from rephrase_rl.config import BenchmarkConfig, GuidanceConfig, RunConfig, TrainDataConfig
    from rephrase_rl.records import Problem


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to look at beside the problems themselves."""

    shown_rows: int = 2
    """Problems whose prompts are given as they are."""
    with_tokenizer: bool = True
    """Whether the model's tokenizer is used; without it there are no token figures."""
    judge_experts: bool = True
    """Whether the verifier judges the expert solutions."""
    num_words: int = DEFAULT_WORDS
    """Words in a row that count as overlap with an evaluation set."""


def check_data(
    config: RunConfig,
    evaluation_data: Sequence[DataConfig] = (),
    options: CheckOptions | None = None,
) -> DataCheck:
    """Inspect the problems of a configuration.

    Rows with faults are in the report, none is raised for. Experts over a budget are counted, and
    looked at as they would be trained on.

    Args:
        config: The run, resolved or not.
        evaluation_data: Problems that training data must not hold, beside the run's benchmarks.
        options: What to look at.

    Raises:
        DataError: A source is not there or cannot be read, or evaluation data has faulty rows.
        EngineError: The tokenizer cannot be loaded, or has no chat template.
    """
    chosen = options or CheckOptions()
    config = resolve_config(config)
    guidance = parse_guidance(config.guidance)
    wording = Wording(config, chosen.with_tokenizer)
    # All of a benchmark's problems, also where few are evaluated: none of them may be trained on.
    whole = [b.model_copy(update={"limit": None}) for b in all_benchmarks(config)]
    evaluated = [(_set_name(b.config), b.problems) for b in load_benchmarks(whole)]
    others = [(data.name, load_data(data)) for data in evaluation_data]
    indices, questions = _evaluation_sets([*evaluated, *others], chosen)
    limits = _limits(config, guidance, chosen.with_tokenizer)
    inspector = DataInspector(indices, limits)
    judge = ExpertJudge(config, guidance.failure_reward_threshold, wording, inspector)
    shown: list[Problem] = []
    try:
        for data in config.data:
            for problem, expert in _problems(data, inspector, wording):
                inspector.add(problem, expert)
                wording.measure(problem, inspector)
                if chosen.judge_experts:
                    judge.add(problem, data)
                if len(shown) < chosen.shown_rows:
                    shown.append(problem)
        judge.finish()
    finally:
        judge.close()
    takes_parts = any(data.expert_part != "whole" for data in config.data)
    if wording.tokenizer is not None and (takes_parts or inspector.has_thoughts):
        inspector.add_parts(part_fits(config, wording, limits))
    views = [view for problem in shown for view in wording.views(problem)]
    views += [view for problem in questions for view in wording.views(problem, evaluation=True)]
    return DataCheck(inspector.report(), tuple(views))


def _limits(config: RunConfig, guidance: GuidanceConfig, with_model: bool) -> Limits:
    """The limits of training; those on q and P(q, k) are the context's where this leaves less."""
    budgets = [data.expert_tokens for data in config.data if data.expert_tokens is not None]
    limits = Limits(
        prompt=getattr(guidance.source, "max_prompt_tokens", None),
        completion=config.trainer.get("max_completion_length"),
        expert=min(budgets, default=None),
    )
    if not with_model:
        return limits
    try:
        model_config = starting_model_config(config)
    except EngineError:  # a tokenizer can be looked at without the rest
        model_config = None
    room = rewriting_room(config, guidance, model_config)
    if room is not None:
        limits = limits._replace(solve=max(0, room.tokens), solve_by=room.named)
    if limits.prompt is None:
        return limits
    if room is None:
        unknown = f"{limits.prompt_by} (the policy's context is not known)"
        return limits._replace(prompt_by=unknown)
    if not room.limits(limits.prompt):
        return limits
    return limits._replace(prompt=room.tokens, prompt_by=room.named)


def _problems(
    data: TrainDataConfig, inspector: DataInspector, wording: Wording
) -> Iterator[tuple[Problem, str | None]]:
    """The problems as they would be trained on, each with its expert's text before any budget.

    Bad rows, and what becomes of experts under a budget, go to the inspector.
    """
    budget = expert_budget(data)
    for item in scan_data(data):
        if isinstance(item, BadRow):
            inspector.add_bad_row(item)
        elif budget is None or wording.tokenizer is None:
            yield item, item.expert_solution
        else:
            fitted = fit_expert(item, budget, wording.count)
            if item.expert_solution is not None:
                inspector.add_fate(fitted.fate)
            yield fitted.problem, item.expert_solution


def _evaluation_sets(
    sources: Sequence[tuple[str, list[Problem]]], options: CheckOptions
) -> tuple[list[EvaluationIndex], list[Problem]]:
    """An index of each set, and the first problems of each."""
    indices, first = [], []
    for name, problems in sources:
        index = EvaluationIndex(name, options.num_words)
        for problem in problems:
            index.add(problem)
        indices.append(index)
        first += problems[: options.shown_rows]
    return indices, first


def _set_name(benchmark: BenchmarkConfig) -> str:
    """What the check calls a benchmark: its data by their name, else by its own."""
    data = benchmark.data
    return benchmark.name if data.name == DataConfig.model_fields["name"].default else data.name
