"""``rephrase-rl data check``: look at the data and the exact prompts before training on them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rephrase_rl.cli.columns import ColumnOption, named_columns, refuse_for_lab
from rephrase_rl.cli.console import messages, print_json
from rephrase_rl.cli.data_report import print_check
from rephrase_rl.cli.options import JsonOption, SetOption

if TYPE_CHECKING:
    from rephrase_rl.config import DataConfig, MappingConfig, RunConfig
    from rephrase_rl.data.inspection import DataCheck

data_app = typer.Typer(help="Look at data.", no_args_is_help=True)

CONFIG_SUFFIXES = (".yaml", ".yml")


@data_app.callback()
def _group() -> None:
    """Keeps ``check`` a command of its own: typer would otherwise drop the only one's name."""


@data_app.command("check")
def check(  # noqa: PLR0913 - typer makes one option of each parameter
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Data file, dataset folder or hub id; or a run configuration (YAML), which says "
            "all the rest.",
            show_default=False,
        ),
    ],
    mapping: Annotated[
        str | None,
        typer.Option(
            help="Which column is what, by name: canonical, gsm8k, verl ...; docs/data.md lists "
            "them.",
            show_default=False,
        ),
    ] = None,
    column: ColumnOption = [],
    model: Annotated[
        str | None,
        typer.Option(help="Model whose tokenizer is used; without it, no token figures."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of a Hugging Face dataset. By default train.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to read, from the start.")] = None,
    rows: Annotated[int, typer.Option(min=0, help="Problems whose prompts are printed.")] = 2,
    against: Annotated[
        list[str],
        typer.Option(
            metavar="[MAPPING:]FILE",
            help="Evaluation set that the data must not hold, beside the benchmarks of a run "
            "configuration. May be given several times.",
            show_default=False,
        ),
    ] = [],
    words: Annotated[
        int, typer.Option(min=1, help="Words in a row that count as overlap with it.")
    ] = 13,
    judge: Annotated[
        bool, typer.Option(help="Have the verifier judge the expert solutions.")
    ] = True,
    as_json: JsonOption = False,
    overrides: SetOption = [],
) -> None:
    """Check every row, then show what the data is like and the exact prompts of the first rows."""
    from rephrase_rl.assembly import CheckOptions, check_data
    from rephrase_rl.config import load_config

    given: dict[str, Any] = {"mapping": mapping, "split": split, "limit": limit}
    is_run = Path(target).suffix in CONFIG_SUFFIXES
    if is_run:
        told = {"--mapping": mapping, "--column": column or None, "--split": split}
        _refuse_unused(target, {**told, "--model": model})
        config = _limited(load_config(target, overrides), limit)
    else:
        refuse_for_lab(target, {"--column": column, "--mapping": mapping})
        if column:
            given["mapping"] = _mapping_around(target, column, given)
        config = _config_of_data(target, given, model, overrides)
    options = CheckOptions(
        shown_rows=rows,
        with_tokenizer=is_run or model is not None,
        judge_experts=judge,
        num_words=words,
    )
    found = check_data(
        config, evaluation_data(against, config.data[0].mapping if column else mapping), options
    )
    if as_json:
        _print_json(found)
    else:
        print_check(found)
    _refuse_faulty(found)


def evaluation_data(
    against: Sequence[str], mapping: str | MappingConfig | None
) -> list[DataConfig]:
    """Where evaluation sets are, from ``[MAPPING:]FILE``; by default in the data's own mapping."""
    from rephrase_rl.config import TestDataConfig
    from rephrase_rl.data import mapping_names

    sets: list[DataConfig] = []
    for text in against:
        prefix, colon, path = text.partition(":")
        columns: str | MappingConfig = prefix
        if not colon or prefix not in mapping_names():
            columns, path = mapping or "canonical", text
        shown = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(Path(path).parts[-2:])).strip("-.")
        name = shown[-100:].strip("-._") or "evaluation"
        sets.append(TestDataConfig(path=path, name=name, mapping=columns))
    return sets


def _refuse_unused(path: str, told: dict[str, Any]) -> None:
    from rephrase_rl.errors import ConfigError

    unused = [option for option, value in told.items() if value is not None]
    if unused:
        raise ConfigError(
            f"found {', '.join(unused)} with a run configuration; required: what {path} says; do "
            "this: leave them out, or change a field with --set data.0.mapping=... or model.path="
        )


def _mapping_around(path: str, column: Sequence[str], given: dict[str, Any]) -> Any:
    """The mapping with the columns that the user names; the others are guessed, and told."""
    from rephrase_rl.data.guessing import guess_mapping
    from rephrase_rl.errors import ConfigError

    named = named_columns(column)
    if given["mapping"] is not None:
        raise ConfigError(
            "found both --mapping and --column; required: one of them; do this: leave out "
            "--mapping to have the other columns guessed"
        )
    guess = guess_mapping(path, split=given["split"] or "train", named=named)
    for reason in guess.reasons:
        messages.print(f"columns: {reason}")
    return guess.mapping


def _config_of_data(
    path: str, given: dict[str, Any], model: str | None, overrides: Sequence[str]
) -> RunConfig:
    from rephrase_rl.config import parse_config

    data = {"path": path, **{key: value for key, value in given.items() if value is not None}}
    # The method decides nothing here; any preset with a rephrase prompt shows both prompts.
    raw = {"method": "repo", "model": {"path": model or "unused"}, "data": data}
    return parse_config(raw, "what the command line asks for", overrides)


def _limited(config: RunConfig, limit: int | None) -> RunConfig:
    """The configuration with each data set cut to a number of rows."""
    if limit is None:
        return config
    data = tuple(d.model_copy(update={"limit": min(limit, d.limit or limit)}) for d in config.data)
    return config.model_copy(update={"data": data})


def _print_json(found: DataCheck) -> None:
    from rephrase_rl.records import to_json

    print_json(to_json(found))


def _refuse_faulty(found: DataCheck) -> None:
    """End with the status of a user's error where a run would not start."""
    from rephrase_rl.errors import DataError

    report = found.report
    if report.faults:
        raise DataError(
            f"found {len(report.faults)} fault(s) in {report.rows - report.problems} of "
            f"{report.rows} rows, all listed above; a run needs every row to be right: correct or "
            "remove them"
        )
    if not report.problems:
        raise DataError(
            f"found no rows ({report.rows} read, {report.problems} problems); required: at least "
            "one problem; do this: check path, split and limit"
        )
