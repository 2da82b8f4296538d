"""``--column PART=COLUMN``: which column is what, as a user says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

ColumnOption = Annotated[
    list[str],
    typer.Option(
        metavar="PART=COLUMN",
        help="Say which column is what, the others being guessed: question, reference_answer, "
        "expert_solution, options, context, unit or problem_id. May be given several times.",
        show_default=False,
    ),
]


def named_columns(options: Sequence[str]) -> dict[str, str]:
    """Part -> column.

    Raises:
        ConfigError: An option is not of that form.
    """
    from rephrase_rl.errors import ConfigError

    named = {}
    for option in options:
        part, equals, name = option.partition("=")
        if not (part and equals and name):
            raise ConfigError(
                f"--column: found {option!r}; required: PART=COLUMN; do this: write it so, as in "
                "--column question=Problem"
            )
        named[part] = name
    return named


def refuse_for_lab(data: str, told: Mapping[str, object]) -> None:
    """Refuse what says how data is read where problems are made and nothing is read.

    Args:
        data: As the user names it.
        told: Option -> its value; empty values were not given.

    Raises:
        ConfigError: The data is the lab's, and any of it was given.
    """
    from rephrase_rl.errors import ConfigError

    given = [option for option, value in told.items() if value]
    if given and data.startswith("lab:"):
        raise ConfigError(
            f"found {', '.join(given)} with {data}, whose problems are made here and not read from "
            "columns; do this: leave it out"
        )
