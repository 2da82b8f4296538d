"""Which column of a data set means what. Plain data; imported by the checks and by configuration.

A mapping is an object and not code, so a data set with other column names needs five words and no
program: ``ColumnMapping(name="mine", question=("problem",), reference_answer="answer")``.
"""

from __future__ import annotations

from dataclasses import dataclass

from rephrase_rl.errors import DataError


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Names of the columns that a Problem is made of; a column that is not named is metadata."""

    name: str
    """For messages."""
    question: tuple[str, ...] = ("question", "messages")
    """Columns that may hold the question, the first present one counts: a string, or a list of
    turns whose last is the user's."""
    reference_answer: str | None = "reference_answer"
    """Column of the checkable answer: a string or a number. None: see ``worked_answer``."""
    expert_solution: str | None = "expert_solution"
    """Column of the expert's text; it may be absent or null. None: there is no such column."""
    worked_answer: str | None = None
    """Column in GSM8K's format (worked text, last line ``#### N``) that holds both of them."""
    problem_id: str = "problem_id"
    """Column of the id; where absent, the id is the source's name and the row number."""
    task_kind: str = "task_kind"
    """Column of the task kind; where absent, ``default_task_kind``."""
    metadata: str = "metadata"
    """Column with a mapping of further data; may be absent."""
    default_task_kind: str = "math"

    def columns(self) -> tuple[str, ...]:
        """Every column that the mapping names."""
        optional = (self.reference_answer, self.expert_solution, self.worked_answer)
        named = tuple(column for column in optional if column is not None)
        return (*self.question, *named, self.problem_id, self.task_kind, self.metadata)


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
