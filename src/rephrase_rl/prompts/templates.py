r"""Prompt templates under fixed ids.

A template's text decides results, so its id and hash go into every manifest. A published text never
changes: a better one gets a new id (``math-solve-v2``), and a golden test holds the hashes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Literal

from rephrase_rl.errors import PromptError
from rephrase_rl.prompts.composed import COMPOSED_KINDS, composed_text

Purpose = Literal["solve", "rephrase", "rationale", "refine", "refine_alone"]
"""What a template is for: solving; rewriting the expert's solution; writing the way to an answer
that is shown; mending a failed attempt, with the expert's solution or without."""

PURPOSES: tuple[Purpose, ...] = ("solve", "rephrase", "rationale", "refine", "refine_alone")

Style = Literal["plain", "think"]
"""How a completion is written: as it comes, or thinking in ``<think>`` first, then the answer."""
STYLES: tuple[Style, ...] = ("plain", "think")

QUESTION = "{question}"
EXPERT_SOLUTION = "{expert_solution}"
REFERENCE_ANSWER = "{reference_answer}"
ATTEMPT = "{attempt}"
_SHOWN: dict[Purpose, tuple[str, ...]] = {
    "solve": (QUESTION,),
    "rephrase": (QUESTION, EXPERT_SOLUTION),
    "rationale": (QUESTION, REFERENCE_ANSWER),
    "refine": (QUESTION, ATTEMPT, EXPERT_SOLUTION),
    "refine_alone": (QUESTION, ATTEMPT),
}
"""Purpose -> the places of its texts."""
PLACES = (QUESTION, EXPERT_SOLUTION, REFERENCE_ANSWER, ATTEMPT)
_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    r"""Text of the last user turn, with places for the question and the expert's text.

    Only ``{question}``, ``{expert_solution}``, ``{reference_answer}`` and ``{attempt}`` are places;
    any other brace is text, so ``\boxed{}`` needs no escaping.
    """

    template_id: str
    """Name with a version, such as ``math-solve-v1``."""
    text: str
    """Has ``{question}`` once and every other place at most once; which of them decides the
    template's purpose."""
    system: str | None = None
    """System turn for problems that bring none. None: no system turn."""

    def __post_init__(self) -> None:
        places = _PLACEHOLDER.findall(self.text)
        unknown = sorted(set(places) - set(PLACES))
        if unknown:
            raise PromptError(
                f"template {self.template_id!r} has the places {', '.join(unknown)}; known are "
                f"{', '.join(PLACES)}: remove or rename them"
            )
        if places.count(QUESTION) != 1 or len(set(places)) < len(places):
            raise PromptError(
                f"template {self.template_id!r} must have {QUESTION} once and every other place "
                f"at most once; found {', '.join(places) or 'none'}: correct its text"
            )
        in_system = _PLACEHOLDER.search(self.system or "")
        if in_system is not None:
            raise PromptError(
                f"template {self.template_id!r} has {in_system[0]} in its system turn, where "
                "nothing is filled in; move it to the text"
            )
        if REFERENCE_ANSWER in places and len(places) > 2:
            raise PromptError(
                f"template {self.template_id!r} shows the answer beside {', '.join(places)}; a "
                f"rationale template has {QUESTION} and {REFERENCE_ANSWER} alone: remove the others"
            )
        if "-solve-" in self.template_id and self.purpose != "solve":
            raise PromptError(
                f"template {self.template_id!r} is for solving but shows more than the question "
                f"({', '.join(places)}); remove that or give it another id"
            )

    @property
    def purpose(self) -> Purpose:
        """Given by what is shown beside the question."""
        if ATTEMPT in self.text:
            return "refine" if EXPERT_SOLUTION in self.text else "refine_alone"
        if REFERENCE_ANSWER in self.text:
            return "rationale"
        return "rephrase" if EXPERT_SOLUTION in self.text else "solve"

    @property
    def style(self) -> Style:
        """Given by the id: ``think`` where it says so."""
        return "think" if "-think-" in self.template_id else "plain"

    @property
    def sha256(self) -> str:
        """Hash (hex) of text and system turn."""
        content = json.dumps([self.text, self.system], ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()


MATH_SOLVE_V1 = PromptTemplate(
    "math-solve-v1",
    r"""{question}

Please reason step by step, and put your final answer within \boxed{}.""",
)

# The paper's prompt ("first comprehend, then rewrite in your own style") is not published.
MATH_REPHRASE_V1 = PromptTemplate(
    "math-rephrase-v1",
    r"""{question}

Here is a correct solution, written by someone else:

<solution>
{expert_solution}
</solution>

First read this solution until you understand why each step is taken. Then solve the question yourself, from the beginning, in your own words and in your own style, as if you had found the way by yourself. Explain every step that you need; do not copy sentences. Write only your solution: never mention that you were shown a solution. Please reason step by step, and put your final answer within \boxed{}.""",  # noqa: E501
)

MATH_RATIONALE_V1 = PromptTemplate(
    "math-rationale-v1",
    r"""{question}

The answer is known to be {reference_answer}.

Find the way from the question to this answer, as if you did not know it yet: reason step by step, explain every step that you need, and put your final answer within \boxed{}. Write only your solution: never mention that you were told the answer.""",  # noqa: E501
)
MATH_REFINE_V1 = PromptTemplate(
    "math-refine-v1",
    r"""{question}

Here is an attempt that went wrong:

<attempt>
{attempt}
</attempt>

Here is a correct solution, written by someone else:

<solution>
{expert_solution}
</solution>

Find out where the attempt goes wrong. Then solve the question yourself, keeping what was right in the attempt and its style. Write only your solution: never mention the attempt or that you were shown a solution. Please reason step by step, and put your final answer within \boxed{}.""",  # noqa: E501
)
MATH_REFINE_ALONE_V1 = PromptTemplate(
    "math-refine_alone-v1",
    r"""{question}

Here is an attempt that went wrong:

<attempt>
{attempt}
</attempt>

Find out where it goes wrong. Then solve the question yourself, keeping what was right in the attempt. Write only your solution: never mention the attempt. Please reason step by step, and put your final answer within \boxed{}.""",  # noqa: E501
)

# The lab's policies are pretrained on exactly these texts.
LAB_SOLVE_V1 = PromptTemplate("lab-solve-v1", "{question}")
LAB_REPHRASE_V1 = PromptTemplate("lab-rephrase-v1", "<rewrite>{question}<expert>{expert_solution}")
# They have not seen these three: what they make of them is for the verifier to judge.
LAB_RATIONALE_V1 = PromptTemplate(
    "lab-rationale-v1", "<rewrite>{question}<expert>{reference_answer}"
)
LAB_REFINE_V1 = PromptTemplate(
    "lab-refine-v1", "<rewrite>{question}<expert>{attempt}<expert>{expert_solution}"
)
LAB_REFINE_ALONE_V1 = PromptTemplate("lab-refine_alone-v1", "<rewrite>{question}<expert>{attempt}")

_WRITTEN = (
    MATH_SOLVE_V1,
    MATH_REPHRASE_V1,
    MATH_RATIONALE_V1,
    MATH_REFINE_V1,
    MATH_REFINE_ALONE_V1,
    LAB_SOLVE_V1,
    LAB_REPHRASE_V1,
    LAB_RATIONALE_V1,
    LAB_REFINE_V1,
    LAB_REFINE_ALONE_V1,
)
_COMPOSED = tuple(
    PromptTemplate(
        f"{kind}-{purpose}-v1" if style == "plain" else f"{kind}-{purpose}-{style}-v1",
        composed_text(kind, purpose, style),
    )
    for kind in COMPOSED_KINDS
    for style in STYLES
    for purpose in PURPOSES
    if (kind, style) != ("math", "plain")  # these are older than the composition
)
_TEMPLATES = {template.template_id: template for template in (*_WRITTEN, *_COMPOSED)}
_DEFAULTS: dict[tuple[str, Purpose, Style], PromptTemplate] = {
    (template.template_id.split("-")[0], template.purpose, template.style): template
    for template in _TEMPLATES.values()
}


def template_ids() -> tuple[str, ...]:
    """Ids that ``get_template`` knows."""
    return tuple(_TEMPLATES)


def get_template(template_id: str, purpose: Purpose | None = None) -> PromptTemplate:
    """Return a template by id, or one of the user's own from its text.

    A text is told from an id by ``{question}`` in it; its id is then made from its hash.

    Args:
        template_id: Id or text.
        purpose: What it is for. None: whatever it shows.

    Raises:
        PromptError: The id is unknown, a text has other places than it may, or is for something
            else.
    """
    if QUESTION not in template_id:
        if template_id not in _TEMPLATES:
            kinds = sorted({known.partition("-")[0] for known in _TEMPLATES})
            raise PromptError(
                f"found template {template_id!r}; required: a published id, KIND-PURPOSE-v1 or "
                f"KIND-PURPOSE-think-v1 (kinds {', '.join(kinds)}; purposes "
                f"{', '.join(PURPOSES)}), or a text of your own with {QUESTION} in it"
            )
        found = _TEMPLATES[template_id]
    else:
        found = _of_text(template_id)
    if purpose is not None and found.purpose != purpose:
        raise PromptError(
            f"template {found.template_id!r} is for {found.purpose!r} by what it shows, and "
            f"{purpose!r} was wanted, which shows {', '.join(_SHOWN[purpose])}; do this: give the "
            "text these places and no others, or name it under another purpose"
        )
    return found


def _of_text(text: str) -> PromptTemplate:
    """A template of the user's own; its name says what it is and tells it from others."""
    text = text.rstrip("\n")  # which a block of YAML ends with
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    purpose = PromptTemplate("own", text).purpose
    return PromptTemplate(f"own-{purpose}-{digest}", text)


def default_template(task_kind: str, purpose: Purpose, style: Style = "plain") -> PromptTemplate:
    """Return the template that a task kind uses unless the configuration names another.

    Raises:
        PromptError: There is none for this task kind in this style.
    """
    if (task_kind, purpose, style) not in _DEFAULTS:
        kinds = sorted({kind for kind, _, known in _DEFAULTS if known == style})
        raise PromptError(
            f"found no {purpose!r} template in style {style!r} for task kind {task_kind!r}; kinds "
            f"with one are {', '.join(kinds)}: name a template in the configuration"
        )
    return _DEFAULTS[task_kind, purpose, style]
