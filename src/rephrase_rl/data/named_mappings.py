"""The mappings that have a name: formats that many files have, and single well-known data sets.

Columns of files that are not among those read in the tests are taken from their documentation;
``docs/data.md`` says which, and where.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rephrase_rl.data.choices import options_of_text
from rephrase_rl.data.columns import has_place, value_at
from rephrase_rl.data.mappings import ColumnMapping
from rephrase_rl.data.tables import TableFormat
from rephrase_rl.errors import DataError

_MATH = ColumnMapping(
    "math",
    question=("problem",),
    reference_answer="answer",
    boxed_answer="solution",
    expert_solution="solution",
    ignored=("question",),  # a copy of the problem in collections of AIME and AMC
)

_MAPPINGS = {
    mapping.name: mapping
    for mapping in (
        ColumnMapping("canonical"),
        ColumnMapping(
            "gsm8k",
            question=("question",),
            reference_answer=None,
            expert_solution=None,
            worked_answer="answer",
        ),
        # TRL calls the gold answer "solution".
        ColumnMapping("trl", question=("prompt",), reference_answer="solution"),
        # LUFFY adds the expert's turn as "target" to verl's columns.
        ColumnMapping(
            "verl",
            question=("prompt",),
            reference_answer="reward_model.ground_truth",
            expert_solution="target.0.content",
        ),
        # The columns stand in the data set's card:
        # https://huggingface.co/datasets/open-r1/OpenR1-Math-220k (revision 075afe0).
        ColumnMapping(
            "openr1_math",
            question=("problem",),
            reference_answer="answer",
            expert_solution="generations",
            expert_form="first_correct",
            expert_flags=("correctness_math_verify", "correctness_llama"),
            problem_id="uuid",
            ignored=("solution", "messages", "is_reasoning_complete", "finish_reasons"),
        ),
        # https://huggingface.co/datasets/m-a-p/SuperGPQA
        ColumnMapping(
            "super_gpqa",
            question=("question",),
            options="options",
            reference_answer="answer_letter",
            answer_form="letter",
            expert_solution=None,
            problem_id="uuid",
            default_task_kind="choice",
        ),
        # https://huggingface.co/datasets/TIGER-Lab/MMLU-Pro; cot_content is blank but for the
        # validation split.
        ColumnMapping(
            "mmlu_pro",
            question=("question",),
            options="options",
            reference_answer="answer",
            answer_form="letter",
            expert_solution="cot_content",
            expert_form="text_or_blank",
            problem_id="question_id",
            default_task_kind="choice",
        ),
        _MATH,
        ColumnMapping(
            "aqua",
            question=("question",),
            options="options",
            reference_answer="correct",
            answer_form="letter",
            expert_solution="rationale",
            default_task_kind="choice",
        ),
        # FLAN's form of ECQA; the explanation does not name the chosen option.
        ColumnMapping(
            "ecqa",
            question=("question",),
            options_in_question=True,
            reference_answer="answer",
            answer_form="text",
            expert_solution="explanation",
            append_answer=True,
            default_task_kind="choice",
            table=TableFormat(
                header=("question", "answer", "explanation"), quoted=False, escapes=True
            ),
        ),
        ColumnMapping(
            "arc",
            question=("question",),
            options_in_question=True,
            reference_answer="answer",
            answer_form="letter",
            expert_solution=None,
            default_task_kind="choice",
        ),
        ColumnMapping(
            "tatqa",
            question=("question",),
            context=("paragraphs", "table"),
            reference_answer="answer",
            unit="scale",
            expert_solution="derivation",
            append_answer=True,
            problem_id="uid",
            default_task_kind="finance",
        ),
        ColumnMapping(
            "pubmedqa",
            question=("QUESTION",),
            context=("CONTEXTS",),
            fixed_options=("yes", "no", "maybe"),
            reference_answer="final_decision",
            answer_form="text",
            expert_solution="LONG_ANSWER",
            append_answer=True,
            problem_id="key",
            default_task_kind="choice",
        ),
        ColumnMapping(
            "pubmedqa_text",
            question=("QUESTION",),
            context=("CONTEXTS",),
            reference_answer="LONG_ANSWER",
            expert_solution=None,
            problem_id="key",
            default_task_kind="text",
        ),
        # Word problems with their arithmetic as a list of steps.
        ColumnMapping(
            "mwp",
            question=("question",),
            reference_answer="answer",
            expert_solution="steps",
            expert_form="lines",
            append_answer=True,
        ),
    )
}


def mapping_names() -> tuple[str, ...]:
    """Names that ``get_mapping`` knows."""
    return tuple(_MAPPINGS)


def get_mapping(name: str) -> ColumnMapping:
    """Return a mapping by name.

    Raises:
        DataError: The name is unknown.
    """
    if name not in _MAPPINGS:
        raise DataError(
            f"found mapping {name!r}; required: one of {', '.join(_MAPPINGS)}, or a ColumnMapping"
        )
    return _MAPPINGS[name]


def names_for_columns(values: Mapping[str, Any]) -> tuple[str, ...]:
    r"""Named mappings whose columns a row has: question, options, answer and expert, null or not.

    Ids, context and units may be absent, and so may an expert's column where the mapping is no
    single data set's: one called ``expert_solution``, or a place inside another column. Columns
    that are texts of a certain form have to have it: options below a question, ``####``.

    Example:
        >>> names_for_columns({"problem": "1 + 1", "solution": "So 2.", "answer": "2"})
        ('math',)
        >>> names_for_columns({"question": "1 + 1", "answer": "So 2.\n#### 2"})
        ('gsm8k',)
    """
    return tuple(name for name, mapping in _MAPPINGS.items() if _has_columns(values, mapping))


def fitting_names(values: Mapping[str, Any], *, other_than: str) -> str:
    """The same as the end of a remedy that speaks of mappings.

    Example:
        >>> row = {"problem": "1 + 1", "solution": "So 2.", "answer": "2"}
        >>> fitting_names(row, other_than="canonical")
        'all columns of math are there'
    """
    names = [name for name in names_for_columns(values) if name != other_than]
    if not names:
        return "docs/data.md lists them"
    return f"all columns of {' and of '.join(names)} are there"


def _has_columns(values: Mapping[str, Any], mapping: ColumnMapping) -> bool:
    expert = mapping.expert_solution
    if expert == _MAPPINGS["canonical"].expert_solution or "." in (expert or ""):
        expert = None
    needed = [path for path in (mapping.options, expert, *mapping.wrong_options) if path]
    answers = [path for path in (mapping.reference_answer, mapping.boxed_answer) if path]
    questions = [path for path in mapping.question if has_place(values, path)]
    return (
        bool(questions)
        and all(has_place(values, path) for path in needed)
        and (any(has_place(values, path) for path in answers) or _has_worked(values, mapping))
        and (not mapping.options_in_question or _ends_with_options(value_at(values, questions[0])))
    )


def _has_worked(values: Mapping[str, Any], mapping: ColumnMapping) -> bool:
    column = mapping.worked_answer
    return column is not None and "####" in str(value_at(values, column))


def _ends_with_options(question: Any) -> bool:
    try:
        options_of_text(str(question))
    except ValueError:
        return False
    return True
