"""Prompts and texts of a run as its policy gets them, for looking at them and measuring them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly.objects import load_model_tokenizer, rephrase_template, solve_template
from rephrase_rl.assembly.run_parts import starting_model
from rephrase_rl.data.inspection import PromptView
from rephrase_rl.errors import EngineError, PromptError
from rephrase_rl.prompts import render_prompt
from rephrase_rl.rollout import prompt_token_ids

if TYPE_CHECKING:
    from rephrase_rl.config import PromptsConfig, RunConfig
    from rephrase_rl.data.inspection import DataInspector
    from rephrase_rl.prompts import PromptTemplate
    from rephrase_rl.records import Message, Problem


class Wording:
    """Prompts and texts of a run, in turns and in tokens."""

    def __init__(self, config: RunConfig, with_tokenizer: bool) -> None:
        self.config = config
        self.tokenizer = _chat_tokenizer(config) if with_tokenizer else None
        self._template_kwargs = config.trainer.get("chat_template_kwargs") or {}

    def count(self, text: str) -> int:
        """Number of tokens of a plain text."""
        return len(self.encode(text))

    def completion_ids(self, text: str) -> list[int]:
        """Tokens of a text with the end token that a completion has."""
        return [*self.encode(text), self.tokenizer.eos_token_id]  # type: ignore[union-attr]

    def measure(self, problem: Problem, inspector: DataInspector) -> None:
        """Tell the inspector how long everything is, or why a prompt cannot be made."""
        for purpose, template in self._purposes(problem):
            try:
                messages = render_prompt(problem, template(problem, self.config.prompts))
            except PromptError as error:
                inspector.add_without_prompt(problem.task_kind, str(error))
                continue
            if self.tokenizer is not None:
                inspector.add_length(purpose, len(self._prompt_ids(messages)), problem.problem_id)
        if self.tokenizer is None:
            return
        inspector.add_length("question", self.count(problem.question), problem.problem_id)
        if problem.expert_solution is not None:
            num_tokens = self.count(problem.expert_solution)
            inspector.add_length("expert", num_tokens, problem.problem_id)

    def rephrase_tokens(self, problem: Problem) -> int | None:
        """Tokens of P(q, k); None where there is no template for it."""
        try:
            template = rephrase_template(problem, self.config.prompts)
            return len(self._prompt_ids(render_prompt(problem, template)))
        except PromptError:
            return None

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

    def encode(self, text: str) -> list[int]:
        """Tokens of a plain text."""
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
    return tokenizer
