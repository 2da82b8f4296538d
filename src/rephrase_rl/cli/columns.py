"""``--column PART=COLUMN``: which column is what, as a user says it."""

from __future__ import annotations

from collections.abc import Sequence
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
