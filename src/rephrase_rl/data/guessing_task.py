"""Which task the answers of a file are of, which decides prompts and verifier.

A guess that says why, with counts where it might have been another; the user's word comes first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rephrase_rl.data.choices import options_of_text
from rephrase_rl.data.column_roles import MOSTLY
from rephrase_rl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.data.column_roles import Columns

FEW_ANSWERS = 5
"""Different words as answers in all rows, from which on each is taken for an option."""
OPTIONS_IN_QUESTION = {"options_in_question": True, "default_task_kind": "choice"}
ENDS_WITH_OPTIONS = "the task is multiple choice: questions end with a list of options"
_OTHER_TASK = "for another kind: `init --task KIND`, or default_task_kind in the mapping"
FEW_WORDS = 5
"""Words that an answer in mathematics has at most, such as a unit; with more it is prose."""
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{3,}")
_NUMBER_LIKE = re.compile(r"[\d\\=^]")
_MONEY_LIKE = re.compile(r"[%$€£¥]|\b(?:percent|million|billion|thousand)\b", re.IGNORECASE)


def say_kind(columns: Columns, fields: dict[str, Any], reasons: list[str]) -> None:
    """The task kind, which decides prompts and verifier, by the answers."""
    if "options" in fields:
        fields["default_task_kind"] = "choice"
        reasons.append("the task is multiple choice: there are options")
        return
    answer = fields.get("reference_answer")
    if answer is None:
        return  # worked and boxed answers are mathematics, as the default is
    answers = [str(value).strip() for value in columns.filled(answer)]
    if share(columns.filled(fields["question"]), ends_with_options) >= MOSTLY:
        form = "letter" if share(answers, is_letter) >= MOSTLY else "text"
        fields |= {**OPTIONS_IN_QUESTION, "answer_form": form}
        reasons.append(ENDS_WITH_OPTIONS)
    elif "unit" in fields or share(answers, _is_money_like) > 1 - MOSTLY:
        fields["default_task_kind"] = "finance"
        reasons.append("answers are numbers with units, compared with a tolerance")
    elif share(answers, _is_number_like) < MOSTLY:
        _say_words(answers, fields, reasons)
    elif words := _num_words(answers):
        reasons.append(
            f"{words} of {len(answers)} answers are words, the others mathematics: all are "
            f"compared as mathematics; {_OTHER_TASK}"
        )


def _say_words(answers: list[str], fields: dict[str, Any], reasons: list[str]) -> None:
    """Answers in words: a few that come again and again are options, others free text."""
    different = list(dict.fromkeys(answers))
    if 2 <= len(different) <= FEW_ANSWERS and len(answers) >= 4 * len(different):
        fields |= {
            "fixed_options": sorted(different), "answer_form": "text",
            "default_task_kind": "choice",
        }  # fmt: skip
        reasons.append(f"the task is multiple choice: every answer is one of {sorted(different)}")
    else:
        fields["default_task_kind"] = "text"
        words = _num_words(answers)
        others = ", the others mathematics" if words < len(answers) else ""
        reasons.append(
            f"{words} of {len(answers)} answers are words{others}: all are compared as texts; "
            f"{_OTHER_TASK}"
        )


def say_task(task: str, fields: dict[str, Any], reasons: list[str]) -> None:
    """The task kind that the user says, in place of the one found out.

    Raises:
        DataError: It is multiple choice, and options were not found.
    """
    if task == "choice":
        raise DataError(
            "found no options, neither in a column nor in the questions nor as few answers that "
            "come again and again; required for --task choice: options; do this: name their column "
            "(--column options=COLUMN), or write the mapping yourself (docs/data.md)"
        )
    if fields.get("default_task_kind") == "choice":
        for name in ("options", "fixed_options", "options_in_question", "answer_form"):
            fields.pop(name, None)
    fields["default_task_kind"] = task
    reasons.append(f"the task is {task}: you said so")


def _num_words(answers: Sequence[str]) -> int:
    return sum(not _is_number_like(answer) for answer in answers)


def _is_number_like(answer: str) -> bool:
    """Whether an answer is mathematics; prose that mentions a number is not."""
    return bool(_NUMBER_LIKE.search(answer)) and len(_WORD.findall(answer)) <= FEW_WORDS


def _is_money_like(answer: str) -> bool:
    return bool(_MONEY_LIKE.search(answer)) and len(_WORD.findall(answer)) <= FEW_WORDS


def share(values: Sequence[Any], fits: Any) -> float:
    """Share of some values that have a property; 0 of none."""
    return sum(bool(fits(value)) for value in values) / len(values) if values else 0.0


def is_letter(answer: str) -> bool:
    """Whether an answer is the letter of an option."""
    return len(answer) == 1 and answer.isascii() and answer.isalpha()


def ends_with_options(question: Any) -> bool:
    """Whether a question, or the last turn of one, ends with a list of options."""
    if not isinstance(question, str):
        question = question[-1].get("content", "")
    try:
        options_of_text(str(question))
    except ValueError:
        return False
    return True
