"""From a problem and a template to the conversation that a model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rephrase_rl.errors import PromptError
from rephrase_rl.prompts.templates import EXPERT_SOLUTION, QUESTION

if TYPE_CHECKING:
    from rephrase_rl.prompts.templates import PromptTemplate
    from rephrase_rl.records import Message, Problem


def render_prompt(problem: Problem, template: PromptTemplate) -> tuple[Message, ...]:
    """Fill a template and put it in place of the problem's last user turn.

    Earlier turns are kept. The template's system turn is put first if the problem has none.
    Question and expert text are inserted whole and as they are: braces in them are text, and
    nothing is ever cut off. The expert text appears in rephrase templates only.

    Args:
        problem: Its last turn is the user's.
        template: A solve or a rephrase template.

    Returns:
        New turns; the problem's own are not changed.

    Raises:
        PromptError: The template shows the expert's text and the problem has none.
    """
    filled = _fill(problem, template)
    turns = [dict(turn) for turn in problem.messages[:-1]]
    has_system = any(turn["role"] == "system" for turn in turns)
    if template.system is not None and not has_system:
        turns.insert(0, {"role": "system", "content": template.system})
    return (*turns, {"role": problem.messages[-1]["role"], "content": filled})


def _fill(problem: Problem, template: PromptTemplate) -> str:
    if template.purpose == "solve":
        before, _, after = template.text.partition(QUESTION)
        return f"{before}{problem.question}{after}"
    if problem.expert_solution is None:
        raise PromptError(
            f"template {template.template_id!r} shows the expert's text, and problem "
            f"{problem.problem_id!r} has none; guide only problems with an expert_solution"
        )
    # Split before filling: a question may itself contain the name of a place.
    values = {QUESTION: problem.question, EXPERT_SOLUTION: problem.expert_solution}
    first, second = sorted(values, key=template.text.index)
    before, _, rest = template.text.partition(first)
    between, _, after = rest.partition(second)
    return f"{before}{values[first]}{between}{values[second]}{after}"
