"""Which column of a data set means what. Plain data; imported by the checks and by configuration.

A mapping is an object and not code, so a data set with other column names needs five words and no
program: ``ColumnMapping(name="mine", question=("problem",), reference_answer="answer")``.
"""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_rl.data.choices import ANSWER_FORMS, MOST_OPTIONS, is_option_list
from rephrase_rl.data.experts import EXPERT_FORMS, EXPERT_PARTS
from rephrase_rl.data.tables import PLAIN_TABLE, TableFormat
from rephrase_rl.errors import DataError


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Where the parts of a Problem stand; a column that is not named is metadata.

    Every place is a column's name or a path into nested columns, such as
    ``reward_model.ground_truth`` or ``target.0.content``.
    """

    name: str
    """For messages."""
    question: tuple[str, ...] = ("question", "messages")
    """Columns that may hold the question, the first present one counts: a string, or a list of
    turns whose last is the user's."""
    context: tuple[str, ...] = ()
    """Columns whose text stands before the question, such as a table: a string, a list of
    paragraphs, or a list of table rows. One that is absent or null is left out."""
    options: str | None = None
    """Column with the options of a multiple-choice question: a list, or label to text. They are
    listed below the question as A., B., ...; the reference answer becomes a letter."""
    fixed_options: tuple[str, ...] = ()
    """Options that are the same in every row, in place of a column."""
    options_in_question: bool = False
    """Whether the options stand at the end of the question's text, one a line, lettered, numbered
    or with dashes."""
    wrong_options: tuple[str, ...] = ()
    """Columns of the wrong options, where the right one's text is the reference answer; all are
    shown in an order that depends on their texts alone."""
    reference_answer: str | None = "reference_answer"
    """Column of the checkable answer: a string or a number. With options: a letter, the text of an
    option, or its index from 0. None: see ``worked_answer`` and ``boxed_answer``."""
    answer_form: str = "either"
    """How the reference answer names an option: ``letter``, ``text``, or ``either``, which is a
    fault where a letter is also the text of another option."""
    list_answer: str | None = None
    """What is put between the items of a reference answer that is a list. None: a list is a
    fault."""
    unit: str | None = None
    """Column with a unit or scale that is put behind the reference answer; ``percent`` becomes
    %."""
    boxed_answer: str | None = None
    r"""Column whose last ``\boxed{}`` holds the answer, where ``reference_answer`` gives none."""
    worked_answer: str | None = None
    """Column in GSM8K's format (worked text, last line ``#### N``) that holds the answer and the
    expert's text."""
    expert_solution: str | None = "expert_solution"
    """Column of the expert's text; it may be absent or null. None: there is no such column."""
    expert_form: str = "text"
    """How the expert's text stands there, one of ``EXPERT_FORMS``."""
    expert_flags: tuple[str, ...] = ()
    """For ``first_correct``: columns with one truth value per text; true in any of them counts."""
    append_answer: bool = False
    r"""Whether the expert's text gets a last sentence with the answer in a box, for texts that do
    not state it."""
    expert_part: str = "whole"
    """Which part of a text with ``<think>`` is k: ``whole``, ``after_think`` or ``think``."""
    strip_think: bool = False
    """Whether prompts lose ``<think>`` blocks of earlier assistant turns, and a system turn that
    asks for such blocks."""
    rows_in: str | None = None
    """Column with a list of questions that share what else is in the row (a table, a text): each is
    a row, whose own columns come first. None: each row is one question."""
    problem_id: str = "problem_id"
    """Column of the id; where absent, the id is the source's name and the row number."""
    task_kind: str = "task_kind"
    """Column of the task kind; where absent, ``default_task_kind``."""
    metadata: str = "metadata"
    """Column with a mapping of further data; may be absent."""
    required: tuple[str, ...] = ()
    """Places that at least one row has to have. A column that no row has is otherwise taken for one
    that may be absent; a configuration requires every column that it names."""
    ignored: tuple[str, ...] = ()
    """Columns that are not even metadata, such as long ones that nothing here needs."""
    default_task_kind: str = "math"
    table: TableFormat = PLAIN_TABLE
    """How a CSV or TSV file of this kind is written."""

    def __post_init__(self) -> None:
        faults = [*self._choices_not_known(), *self._contradictions(), *self.table.faults()]
        if faults:
            raise DataError(f"mapping {self.name!r} is not valid", faults)

    @property
    def has_options(self) -> bool:
        """Whether the questions are multiple choice."""
        return bool(
            self.options is not None
            or self.fixed_options
            or self.wrong_options
            or self.options_in_question
        )

    def paths(self) -> tuple[str, ...]:
        """Every place that the mapping names."""
        optional = (
            self.options,
            self.reference_answer,
            self.unit,
            self.boxed_answer,
            self.worked_answer,
            self.expert_solution,
        )
        named = tuple(path for path in optional if path is not None)
        single = (self.problem_id, self.task_kind, self.metadata)
        several = (*self.question, *self.context, *self.wrong_options, *self.expert_flags)
        return (*several, *named, *single)

    def _choices_not_known(self) -> list[str]:
        found = []
        if not self.question:
            found.append("question names no column; name at least one")
        for field, value, choices in (
            ("answer_form", self.answer_form, ANSWER_FORMS),
            ("expert_form", self.expert_form, EXPERT_FORMS),
            ("expert_part", self.expert_part, EXPERT_PARTS),
        ):
            if value not in choices:
                found.append(f"{field} is {value!r}; choose one of {', '.join(choices)}")
        return found

    def _contradictions(self) -> list[str]:
        found = []
        ways = [
            name
            for name, given in (
                ("options", self.options is not None),
                ("fixed_options", bool(self.fixed_options)),
                ("wrong_options", bool(self.wrong_options)),
                ("options_in_question", self.options_in_question),
            )
            if given
        ]
        if len(ways) > 1:
            found.append(f"{' and '.join(ways)} are given; options stand in one place: keep one")
        if self.fixed_options and not is_option_list(self.fixed_options):
            found.append(
                f"fixed_options are {list(self.fixed_options)}; give 2 to {MOST_OPTIONS} texts, "
                "none of them empty or there twice"
            )
        if self.wrong_options and self.answer_form != "text":
            found.append(
                f"answer_form is {self.answer_form!r}; wrong_options go with text, since the right "
                "option is one: set it to text"
            )
        if ways and self.worked_answer is not None:
            found.append(f"worked_answer does not go with {ways[0]}; name reference_answer")
        if ways and self.reference_answer is None:
            found.append("there are options and no reference_answer; name its column")
        if (self.expert_form == "first_correct") != bool(self.expert_flags):
            found.append(
                f"expert_form is {self.expert_form!r} and expert_flags are "
                f"{list(self.expert_flags)}; first_correct needs flags, and nothing else has "
                "them: give both or neither"
            )
        return found
