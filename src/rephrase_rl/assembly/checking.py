"""``data check``: one pass over the problems of a configuration, with all that a run would do.

The policy's tokenizer, the templates and the verifiers are those of the run; nothing is trained,
sampled or dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import (
    VERIFIER_OF_KIND,
    build_verifiers,
    load_data,
    load_model_tokenizer,
    rephrase_template,
    scan_data,
    solve_template,
)
from rephrase_rl.assembly.problems import expert_budget
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.config import parse_guidance
from rephrase_rl.data import BadRow, fit_expert
from rephrase_rl.data.contamination import DEFAULT_WORDS, EvaluationIndex
from rephrase_rl.data.inspection import DataCheck, DataInspector, PromptView
from rephrase_rl.errors import EngineError, PromptError
from rephrase_rl.methods import resolve_config
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rollout import prompt_token_ids

if TYPE_CHECKING:
    from rephrase_rl.config import DataConfig, GuidanceConfig, PromptsConfig, RunConfig
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import Message, Problem
    from rephrase_rl.rewards import Verifier

JUDGED_AT_ONCE = 256
"""Experts that a verifier gets in one call."""


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
    wording = _Wording(config, chosen.with_tokenizer)
    evaluated = [benchmark.data for benchmark in config.evaluation.benchmarks]
    indices, questions = _evaluation_sets([*evaluated, *evaluation_data], chosen)
    inspector = DataInspector(
        indices,
        max_prompt_tokens=getattr(guidance.source, "max_prompt_tokens", None),
        max_completion_tokens=config.trainer.get("max_completion_length"),
    )
    judge = _ExpertJudge(config, guidance, inspector) if chosen.judge_experts else None
    shown: list[Problem] = []
    try:
        for problem in _problems(config, inspector, wording):
            inspector.add(problem)
            wording.measure(problem, inspector)
            if judge is not None:
                judge.add(problem)
            if len(shown) < chosen.shown_rows:
                shown.append(problem)
        if judge is not None:
            judge.finish()
    finally:
        if judge is not None:
            judge.close()
    views = [view for problem in shown for view in wording.views(problem)]
    views += [view for problem in questions for view in wording.views(problem, evaluation=True)]
    return DataCheck(inspector.report(), tuple(views))


def _problems(config: RunConfig, inspector: DataInspector, wording: _Wording) -> Iterator[Problem]:
    """The problems as they would be trained on; bad rows and budgets go to the inspector."""
    for data in config.data:
        budget = expert_budget(data)
        for item in scan_data(data):
            if isinstance(item, BadRow):
                inspector.add_bad_row(item)
            elif budget is None or wording.tokenizer is None:
                yield item
            else:
                fitted = fit_expert(item, budget, wording.count)
                if item.expert_solution is not None:
                    inspector.add_fate(fitted.fate)
                yield fitted.problem


def _evaluation_sets(
    sources: Sequence[DataConfig], options: CheckOptions
) -> tuple[list[EvaluationIndex], list[Problem]]:
    """An index of each set, and the first problems of each."""
    indices, first = [], []
    for source in sources:
        index = EvaluationIndex(source.name, options.num_words)
        problems = load_data(source)
        for problem in problems:
            index.add(problem)
        indices.append(index)
        first += problems[: options.shown_rows]
    return indices, first


class _Wording:
    """Prompts and texts of a run, in turns and in tokens."""

    def __init__(self, config: RunConfig, with_tokenizer: bool) -> None:
        self.config = config
        self.tokenizer = _chat_tokenizer(config) if with_tokenizer else None
        self._template_kwargs = config.trainer.get("chat_template_kwargs") or {}

    def count(self, text: str) -> int:
        """Tokens of a plain text."""
        return len(self._encode(text))

    def measure(self, problem: Problem, inspector: DataInspector) -> None:
        """Tell the inspector how long everything is, or why a prompt cannot be made."""
        for purpose, template in self._purposes(problem):
            try:
                messages = render_prompt(problem, template(problem, self.config.prompts))
            except PromptError as error:
                inspector.add_without_prompt(problem.task_kind, str(error))
                continue
            if self.tokenizer is not None:
                inspector.add_length(purpose, len(self._prompt_ids(messages)))
        if self.tokenizer is None:
            return
        inspector.add_length("question", self.count(problem.question))
        if problem.expert_solution is not None:
            inspector.add_length("expert", self.count(problem.expert_solution))

    def views(self, problem: Problem, evaluation: bool = False) -> list[PromptView]:
        """The prompts of one problem as the policy gets them; none where there is no template."""
        shown = []
        for purpose, template in self._purposes(problem):
            if evaluation and purpose != "solve":
                continue
            try:
                messages = render_prompt(problem, template(problem, self.config.prompts))
            except PromptError:
                continue
            name = "evaluation" if evaluation else purpose
            shown.append(self._view(problem.problem_id, name, messages))
        return shown

    def _purposes(
        self, problem: Problem
    ) -> Sequence[tuple[str, Callable[[Problem, PromptsConfig], PromptTemplate]]]:
        purposes = [("solve", solve_template)]
        if problem.expert_solution is not None:
            purposes.append(("rephrase", rephrase_template))
        return purposes

    def _view(self, problem_id: str, purpose: str, messages: Sequence[Message]) -> PromptView:
        if self.tokenizer is None:
            turns = "\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in messages)
            return PromptView(problem_id, purpose, turns, None)
        ids = self._prompt_ids(messages)
        text = self.tokenizer.decode(ids, skip_special_tokens=False)
        return PromptView(
            problem_id, purpose, text, tuple(self.tokenizer.convert_ids_to_tokens(ids))
        )

    def _prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        return prompt_token_ids(self.tokenizer, messages, self._template_kwargs)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)  # type: ignore[union-attr]
        return ids


def _chat_tokenizer(config: RunConfig) -> Any:
    model = starting_model(config)
    tokenizer = load_model_tokenizer(model)
    if not tokenizer.chat_template:
        raise EngineError(
            f"the tokenizer of {model.path} has no chat template, required: one, since prompts are "
            "conversations; use an instruct model, or leave out the model to check the data alone"
        )
    # Longer texts than the model takes are what is looked for; no warning of each.
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return tokenizer


class _ExpertJudge:
    """Has the run's verifier judge expert solutions, many at a time."""

    def __init__(
        self, config: RunConfig, guidance: GuidanceConfig, inspector: DataInspector
    ) -> None:
        correctness = config.guidance.get("correctness")
        self._rewards = [r for r in config.rewards if correctness in (None, r.verifier)][:1]
        self._threshold = guidance.failure_reward_threshold
        self._inspector = inspector
        self._verifiers: dict[str, Verifier] = {}
        self._waiting: dict[str, list[Problem]] = {}

    def add(self, problem: Problem) -> None:
        """Take in a problem; without an expert there is nothing to judge."""
        if problem.expert_solution is None:
            return
        kind = problem.task_kind
        if not self._rewards and kind not in VERIFIER_OF_KIND:
            self._inspector.add_not_judged(kind, f"no verifier is set for task kind {kind!r}")
            return
        waiting = self._waiting.setdefault(kind, [])
        waiting.append(problem)
        if len(waiting) == JUDGED_AT_ONCE:
            self._judge(kind)

    def finish(self) -> None:
        """Judge what is left."""
        for kind in self._waiting:
            self._judge(kind)

    def close(self) -> None:
        """Free the verifiers."""
        for verifier in self._verifiers.values():
            verifier.close()

    def _judge(self, kind: str) -> None:
        problems, self._waiting[kind] = self._waiting[kind], []
        if not problems:
            return
        if kind not in self._verifiers:
            ((self._verifiers[kind], _),) = build_verifiers(self._rewards, problems)
        verifier = self._verifiers[kind]
        verdicts = verifier.verify(
            [problem.expert_solution or "" for problem in problems],
            [problem.reference_answer for problem in problems],
        )
        for problem, verdict in zip(problems, verdicts, strict=True):
            self._inspector.add_verdict(problem, verdict, verifier.name, self._threshold)
