"""The mappings that have a name: formats that many files have, and single well-known data sets.

Columns of files that are not among those read in the tests are taken from their documentation;
``docs/data.md`` says which, and where.
"""

from __future__ import annotations

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
