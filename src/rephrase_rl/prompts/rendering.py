"""From a problem and a template to the conversation that a model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.errors import PromptError
from rephrase_rl.prompts.templates import (
    ATTEMPT,
    EXPERT_SOLUTION,
    PLACES,
    QUESTION,
    REFERENCE_ANSWER,
)

if TYPE_CHECKING:
    from rephrase_rl.prompts.templates import PromptTemplate
    from rephrase_rl.records import Message, Problem


def render_prompt(
    problem: Problem, template: PromptTemplate, *, attempt: str | None = None
) -> tuple[Message, ...]:
    """Fill a template and put it in place of the problem's last user turn.

    Earlier turns are kept. The template's system turn is put first if the problem has none.
    All texts are inserted whole and as they are: braces in them are text, and nothing is ever cut
    off. What a template does not show does not appear.

    Args:
        problem: Its last turn is the user's.
        template: Any template.
        attempt: The failed attempt, for templates that show one.

    Returns:
        New turns; the problem's own are not changed.

    Raises:
        PromptError: The template shows something that the problem does not have.
    """
    filled = _fill(problem, template, attempt)
    turns = [dict(turn) for turn in problem.messages[:-1]]
    has_system = any(turn["role"] == "system" for turn in turns)
    if template.system is not None and not has_system:
        turns.insert(0, {"role": "system", "content": template.system})
    return (*turns, {"role": problem.messages[-1]["role"], "content": filled})


def _fill(problem: Problem, template: PromptTemplate, attempt: str | None) -> str:
    values = {
        QUESTION: problem.question,
        EXPERT_SOLUTION: problem.expert_solution,
        REFERENCE_ANSWER: problem.reference_answer or None,
        ATTEMPT: attempt,
    }
    filled, rest = "", template.text
    # Cut at the places before filling: a question may itself contain the name of a place.
    for place in sorted((p for p in PLACES if p in template.text), key=template.text.index):
        value = values[place]
        if value is None:
            raise PromptError(
                f"template {template.template_id!r} shows {_MEANING[place]}, and problem "
                f"{problem.problem_id!r} has none; {_REMEDY[place]}"
            )
        before, _, rest = rest.partition(place)
        filled += before + value
    return filled + rest


_MEANING = {
    QUESTION: "the question",
    EXPERT_SOLUTION: "the expert's text",
    REFERENCE_ANSWER: "the reference answer",
    ATTEMPT: "a failed attempt",
}
_REMEDY = {
    QUESTION: "give it one",
    EXPERT_SOLUTION: "guide only problems with an expert_solution",
    REFERENCE_ANSWER: "guide only problems with a reference_answer",
    ATTEMPT: "pass it as attempt=",
}
