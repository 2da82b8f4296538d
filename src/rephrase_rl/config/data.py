"""Where problems come from, and which of their columns mean what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from rephrase_rl.config.base import ConfigModel, Many

Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""Used as a folder name in run directories, hence letters, digits and ``._-`` only."""
Column = Annotated[str, Field(min_length=1)]
"""Name of a column, or a path into nested ones such as ``reward_model.ground_truth``."""


class TableConfig(ConfigModel):
    """How a CSV or TSV file is written. null everywhere: as in the mapping that ``like`` names."""

    header: Many[Column] | None = None
    """Column names of a file that has no header line."""
    delimiter: str | None = None
    """Character between cells. By default a comma, in .tsv files a tab."""
    quoted: bool | None = None
    """Whether " encloses cells that hold delimiters, quotes or newlines. By default it does."""
    escapes: bool | None = None
    r"""Whether cells write a newline as \n, a tab as \t and a backslash as \\."""


class MappingConfig(ConfigModel):
    """Which column is what. null: as in the mapping that ``like`` names."""

    like: str = "canonical"
    """Named mapping that gives whatever is not said here."""
    question: Many[Column] | None = None
    """Columns that may hold the question, the first present one counts."""
    context: Many[Column] | None = None
    """Columns whose text stands before the question, such as a table or paragraphs."""
    options: Column | None = None
    """Column with the options of a multiple-choice question."""
    fixed_options: Many[str] | None = None
    """Options that are the same in every row."""
    options_in_question: bool | None = None
    """Whether the options stand at the end of the question's text, one a line."""
    wrong_options: Many[Column] | None = None
    """Columns of the wrong options, where the right one is the reference answer's text; all are
    shown in an order that depends on their texts alone."""
    reference_answer: Column | None = None
    """Column of the checkable answer; with options a letter, an option's text, or its index."""
    answer_form: Literal["either", "letter", "text"] | None = None
    """How the reference answer names an option; either is a fault where a letter is also the text
    of another option."""
    list_answer: str | None = None
    """What is put between the items of a reference answer that is a list; without it a list is a
    fault."""
    unit: Column | None = None
    """Column with a unit or scale that is put behind the reference answer."""
    boxed_answer: Column | None = None
    r"""Column whose last \boxed{} holds the answer where reference_answer gives none."""
    worked_answer: Column | None = None
    """Column in GSM8K's format that holds both the answer and the expert's text."""
    expert_solution: Column | None = None
    """Column of the expert's text."""
    expert_form: (
        Literal["text", "text_or_blank", "lines", "first_correct", "last_assistant"] | None
    ) = None
    """How the expert's text stands there: text, a list of lines, a list of texts of which flags
    mark the correct ones, or a conversation whose last assistant turn is taken."""
    expert_flags: Many[Column] | None = None
    """For first_correct: columns with one truth value per text."""
    append_answer: bool | None = None
    """Whether the expert's text gets a last sentence with the answer in a box."""
    rows_in: Column | None = None
    """Column with a list of questions that share the rest of the row; each becomes a row."""
    problem_id: Column | None = None
    """Column of the id. Where it is absent: the source's name and the row number."""
    task_kind: Column | None = None
    """Column of the task kind."""
    default_task_kind: str | None = None
    """Task kind of rows without that column: math, choice, finance, text."""
    ignored: Many[Column] | None = None
    """Columns that are not even metadata."""
    table: TableConfig = TableConfig()
    """How a CSV or TSV file is written."""


WAYS_OF_NAMING = ("(name)", "(columns)")
"""Tags of the two forms of a mapping; pydantic puts them into the place of a fault."""


def _way_of_naming(value: object) -> str:
    return WAYS_OF_NAMING[0] if isinstance(value, str) else WAYS_OF_NAMING[1]


MappingField = Annotated[
    Annotated[str, Tag(WAYS_OF_NAMING[0])] | Annotated[MappingConfig, Tag(WAYS_OF_NAMING[1])],
    Discriminator(_way_of_naming),
]
"""A mapping by name, or by its columns."""


class DataConfig(ConfigModel):
    """One set of problems."""

    path: Annotated[str, Field(min_length=1)]
    """A file (.jsonl, .json, .csv, .tsv, each also with .gz, or .parquet), a local folder or hub id
    of a Hugging Face dataset, or ``lab:hard``, ``lab:easy``, ``lab:general``, ``lab:mixed``;
    ``lab:ab-hard``, ``lab:ab-easy``, ``lab:ab-mixed`` are of the lab's second task family."""
    name: Name = "data"
    """How records and reports call it; needed if there are several."""
    mapping: MappingField = "canonical"
    """Which column is what: the name of a mapping, or the columns themselves. docs/data.md lists
    both. The lab ignores it."""
    expert_part: Literal["whole", "after_think", "think"] = "whole"
    """Which part of an expert's text with <think> tags is k, which P(q, k) and every other use of
    the expert sees. after_think: what follows the last </think>; a text without tags as a whole.
    The lab ignores it."""
    expert_tokens: Positive | None = None
    """Budget for k in the policy's tokens. null: none."""
    over_expert_tokens: Literal["refuse", "cut", "leave_out"] = "refuse"
    """What becomes of a k over the budget. refuse: the run does not start, and all such rows are
    listed; cut: at the end of the last paragraph that fits, counted; leave_out: the problem is
    trained without its expert, counted."""
    strip_think: bool = False
    """Whether prompts lose <think> blocks of earlier assistant turns, and a system turn that asks
    for such blocks. The lab ignores it."""
    config_name: str | None = None
    """Configuration of a dataset that has several, such as ``main`` of openai/gsm8k. A single
    file has none."""
    split: str = "train"
    """Split of a Hugging Face dataset or of the lab. A single file is one split: its whole
    content is read."""
    revision: str | None = None
    """Branch, tag or commit on the hub. null: the main branch."""
    limit: Positive | None = None
    """Number of problems, from the start. null: all of them (the lab: its default number)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the lab's problem generator; other sources are read in their own order."""
    expert: Literal["alien", "near"] = "alien"
    """Style of the lab's expert; other sources bring their own."""


class TestDataConfig(DataConfig):
    """Problems to be evaluated on: the test split unless another one is named."""

    __test__ = False  # pytest would take the class name for a test case

    split: str = "test"
    """Split of a Hugging Face dataset or of the lab; never the training split by default."""
