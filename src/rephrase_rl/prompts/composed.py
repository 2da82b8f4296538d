r"""Texts of the templates for each task kind, purpose and style, put together from their parts.

The parts are shared, the results are not: each result is published under an id with a version, and
a golden test holds its hash. Changing a part therefore means new ids for all that use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rephrase_rl.prompts.templates import Purpose, Style


@dataclass(frozen=True, slots=True)
class _Wording:
    """How one task kind speaks of its questions and answers."""

    noun: str
    """What an expert has written."""
    verb: str
    """What is done with a question."""
    known: str
    """How the answer is told, in a rationale."""
    plain: str
    """Ending of the plain style: how to reason and where to put the answer."""
    after_thinking: str
    """What follows ``</think>`` in the thinking style."""
    understand: str = "why each step is taken"
    """What there is to understand in an expert's text."""
    explain: str = "Explain every step that you need"


_WORDINGS = {
    "math": _Wording(
        noun="solution",
        verb="solve",
        known="The answer is known to be {reference_answer}.",
        plain=r"Please reason step by step, and put your final answer within \boxed{}.",
        after_thinking=r"write your solution in short, and put your final answer within \boxed{}.",
    ),
    "choice": _Wording(
        noun="solution",
        verb="solve",
        known="The right option is known to be {reference_answer}.",
        plain=(
            "Please reason step by step, and put the letter of the option that you choose, and "
            r"nothing else, within \boxed{}."
        ),
        after_thinking=(
            "say in short why, and put the letter of the option that you choose, and nothing else, "
            r"within \boxed{}."
        ),
    ),
    "finance": _Wording(
        noun="solution",
        verb="solve",
        known="The answer is known to be {reference_answer}.",
        plain=(
            r"Please reason step by step, and put your final answer within \boxed{}: one number, "
            "with its sign, and with its unit or scale (such as %, thousand or million) as the "
            "question asks for it."
        ),
        after_thinking=(
            r"write your calculation in short, and put your final answer within \boxed{}: one "
            "number, with its sign, and with its unit or scale (such as %, thousand or million) as "
            "the question asks for it."
        ),
    ),
    "text": _Wording(
        noun="answer",
        verb="answer",
        known="The content of the right answer is known to be:\n\n{reference_answer}",
        plain=(
            "Please answer in complete sentences: first the answer itself, then what supports it. "
            "Leave out nothing that the question asks for."
        ),
        after_thinking=(
            "write your answer in complete sentences: first the answer itself, then what supports "
            "it. Leave out nothing that the question asks for."
        ),
        understand="what it says and why",
        explain="Give every reason that you need",
    ),
}
COMPOSED_KINDS = tuple(_WORDINGS)
"""Task kinds whose templates are put together here."""

_THINK = (
    "Write your thinking inside <think> and </think>: reason step by step, try, check and correct "
    "yourself as much as you need. Then, after </think>, "
)
_SOLUTION = """Here is a correct {noun}, written by someone else:

<solution>
{expert_solution}
</solution>"""
_ATTEMPT = """Here is an attempt that went wrong:

<attempt>
{attempt}
</attempt>"""
_REPHRASE = (
    "First read this {noun} until you understand {understand}. Then {verb} the question "
    "yourself, from the beginning, in your own words and in your own style, as if you had found "
    "the way by yourself. {explain}; do not copy sentences."
)
_RATIONALE = (
    "Find the way from the question to this answer, as if you did not know it yet. {explain}."
)
_REFINE = (
    "Find out where the attempt goes wrong. Then {verb} the question yourself, keeping what was "
    "right in the attempt and its style."
)
_REFINE_ALONE = (
    "Find out where it goes wrong. Then {verb} the question yourself, keeping what was right in "
    "the attempt."
)
_SILENCE = {
    "rephrase": "that you were shown {a_noun}",
    "rationale": "that you were told the answer",
    "refine": "the attempt or that you were shown {a_noun}",
    "refine_alone": "the attempt",
}
_WITHIN_THINKING = (
    " This holds inside <think> too: think as somebody who sees nothing but the question."
)


def composed_text(kind: str, purpose: Purpose, style: Style) -> str:
    """The text of one template.

    Args:
        kind: One of ``COMPOSED_KINDS``.
        purpose: What the template is for.
        style: ``plain``, or ``think`` for thinking in ``<think>`` before the answer.
    """
    wording = _WORDINGS[kind]
    ending = wording.plain if style == "plain" else _THINK + wording.after_thinking
    if purpose == "solve":
        return "{question}\n\n" + ending
    shown = {
        "rephrase": [_SOLUTION],
        "rationale": [wording.known],
        "refine": [_ATTEMPT, _SOLUTION],
        "refine_alone": [_ATTEMPT],
    }[purpose]
    task = {
        "rephrase": _REPHRASE,
        "rationale": _RATIONALE,
        "refine": _REFINE,
        "refine_alone": _REFINE_ALONE,
    }[purpose]
    silence = f"Write only your {{noun}}: never mention {_SILENCE[purpose]}."
    if style == "think":
        silence = silence.replace("Write only your {noun}: never", "Never") + _WITHIN_THINKING
    article = "an" if wording.noun[0] in "aeiou" else "a"
    text = "\n\n".join(["{question}", *shown, f"{task} {silence} {ending}"])
    wordings = {
        "{a_noun}": f"{article} {wording.noun}",
        "{noun}": wording.noun,
        "{verb}": wording.verb,
        "{understand}": wording.understand,
        "{explain}": wording.explain,
    }
    for place, words in wordings.items():
        text = text.replace(place, words)
    return text
