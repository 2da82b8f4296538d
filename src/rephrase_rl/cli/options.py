"""Arguments that several commands share, with one help text each."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class SamplingEngine(Enum):
    """What samples; typer shows the choices."""

    transformers = "transformers"
    vllm = "vllm"


ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Run configuration (YAML).", show_default=False)
]

SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one field, such as trainer.learning_rate=1e-5 or data.0.path=train.jsonl. "
        "May be given several times.",
        show_default=False,
    ),
]

TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Import the code and ask the endpoints that the run's own configuration names. For "
        "runs of your own, or whose config.yaml you have read.",
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
