"""Exit statuses: 0 done, 2 the user's error without traceback, 1 an internal one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from rephrase_rl import __version__
from rephrase_rl.assembly.imports import import_object
from rephrase_rl.cli import main
from rephrase_rl.errors import CompatibilityError

Cli = Callable


def test_version_and_help_succeed(cli: Cli) -> None:
    assert (cli("--version").status, cli("--help").status) == (0, 0)
    assert cli("--version").out.strip() == __version__


def test_every_command_of_the_design_is_there(cli: Cli) -> None:
    commands = [
        ["demo"], ["train"], ["eval"], ["report"], ["compare"], ["methods"], ["config", "show"],
        ["config", "check"], ["data", "check"], ["doctor"],
    ]  # fmt: skip
    assert [cli(*words, "--help").status for words in commands] == [0] * len(commands)


@pytest.mark.parametrize(
    "words", [["nonsense"], ["train"], ["train", "x.yaml", "--nonsense"], ["demo", "--steps", "0"]]
)
def test_wrong_usage_is_the_users_error(cli: Cli, words: list[str]) -> None:
    assert cli(*words).status == 2


def test_config_faults_are_told_without_traceback(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("methd: repo\n", encoding="utf-8")
    outcome = cli("config", "show", path)
    assert outcome.status == 2
    assert "did you mean `method`?" in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert "Traceback" in cli("config", "show", path, "--debug").err


def test_errors_raised_on_purpose_have_status_2(cli: Cli, assembly, config_file: Path) -> None:
    assembly.failure = CompatibilityError("found trl 9, required 1.16; do this: pip install")
    outcome = cli("train", config_file)
    assert (outcome.status, "found trl 9" in outcome.err) == (2, True)


def test_anything_else_is_internal_and_debug_shows_where(
    cli: Cli, assembly, config_file: Path
) -> None:
    assembly.failure = KeyError("bug")
    outcome = cli("train", config_file)
    assert outcome.status == 1
    assert "internal error: KeyError" in outcome.err
    assert "Traceback" not in outcome.err
    debugged = cli("train", "--debug", config_file)
    assert (debugged.status, "Traceback" in debugged.err) == (1, True)


def test_an_error_in_the_users_own_code_is_the_users_and_has_its_line(
    cli: Cli, assembly, config_file: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text("def gate(group, context):\n    return group.nothing\n", encoding="utf-8")
    try:
        import_object(f"{own}:gate")(None, None)
    except AttributeError as error:
        assembly.failure = error
    outcome = cli("train", config_file)
    assert outcome.status == 2
    assert "internal error" not in outcome.err
    assert f"error: {own}, line 2, in gate: AttributeError: " in outcome.err


def test_interruption_has_its_own_status(cli: Cli, assembly, config_file: Path) -> None:
    assembly.failure = KeyboardInterrupt()
    assert cli("train", config_file).status == 130


def test_our_own_warnings_are_sentences_and_those_of_others_keep_their_place() -> None:
    ours = main._formatted_warning(UserWarning("look"), UserWarning, main.__file__, 1)
    assert ours == "warning: look\n"
    theirs = main._formatted_warning(UserWarning("look"), UserWarning, "/lib/other.py", 7)
    assert theirs.startswith("/lib/other.py:7: UserWarning: look")


def test_rows_that_nobody_can_score_are_told_once_and_not_printed_whole() -> None:
    keep = main._unscored_in_short()

    def record(text: str) -> logging.LogRecord:
        return logging.LogRecord("trl", logging.WARNING, "trl.py", 1, text, (), None)

    dump = "[RANK 0] All reward functions returned None for the following kwargs:\n{'a': 1}"
    first = record(dump)
    assert keep(first)
    assert first.getMessage() == main.UNSCORED
    assert not keep(record(dump))
    other = record("something else")
    assert keep(other)
    assert other.getMessage() == "something else"
