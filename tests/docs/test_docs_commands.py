"""Every command in README, docs and recipes is one that the command line understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from rephrase_rl.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
USAGE_ERROR = typer.BadParameter.__base__  # typer may bring its own click, so not click's name
MAKE_TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.M))


def code_lines(document: Path) -> list[str]:
    """Lines of indented and fenced code, with continuations joined; a prompt sign is dropped."""
    lines, fenced, found = document.read_text(encoding="utf-8").splitlines(), False, []
    for line in lines:
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found.append(line.strip().removeprefix("$ "))
    return re.sub(r"\\\n\s*", " ", "\n".join(found)).splitlines()


def commands(first_word: str) -> list[tuple[str, str]]:
    return [
        (document.name, line)
        for document in DOCUMENTS
        for line in code_lines(document)
        if line.split("#")[0].split()[:1] == [first_word]
    ]


def parse(words: list[str]) -> str:
    """Parse without running; the name of the command found, or what the command line raises."""
    command, context = typer.main.get_command(app), None
    words = [word for word in words if word != "--debug"]
    while True:
        context = command.make_context(command.name, list(words), parent=context)
        if not hasattr(command, "resolve_command"):
            return command.name
        remaining = [*context._protected_args, *context.args]
        _, command, words = command.resolve_command(context, remaining)


@pytest.mark.parametrize(("document", "line"), commands("rephrase-rl"))
def test_command_is_understood(document: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    # Capital words stand for something of the reader's own; they are good arguments as they are.
    found = parse([word.strip("[]") for word in words if not word.startswith("[")])
    assert found in words, "the command that ran is not one that the line names"


@pytest.mark.parametrize(("document", "line"), commands("make"))
def test_make_target_exists(document: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    targets = [word for word in words if "=" not in word and not word.startswith("-")]
    assert set(targets) <= MAKE_TARGETS


def test_the_parser_of_these_tests_has_teeth() -> None:
    assert parse(["train", "x.yaml", "--set", "a=b"]) == "train"
    assert parse(["data", "check", "x.jsonl"]) == "check"
    for words in (["train"], ["nonsense"], ["train", "x.yaml", "--sett", "a=b"]):
        with pytest.raises(USAGE_ERROR):
            parse(words)
