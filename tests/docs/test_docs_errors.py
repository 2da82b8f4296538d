"""docs/errors.md lists every error of the sources, and every message tells its cure."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import pickle
from pathlib import Path

import pytest

from rephrase_rl import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


def script():
    spec = importlib.util.spec_from_file_location("errors_page", ROOT / "scripts/errors_page.py")
    module = importlib.util.module_from_spec(spec)
    __import__("sys").modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


SCRIPT = script()


def test_lists_are_those_of_the_sources() -> None:
    made = SCRIPT.page_with(SCRIPT.lists(), PAGE)
    assert made == PAGE, "run: python scripts/errors_page.py"


def test_every_message_tells_a_cure() -> None:
    told = [*SCRIPT.entries(), *SCRIPT.fault_entries(), *SCRIPT.row_entries()]
    assert [entry for entry in told if not entry.cure] == []


def test_faults_in_lists_and_rows_are_there_too() -> None:
    """One of each way in which they come about."""
    faults = {(entry.module, entry.cure) for entry in SCRIPT.fault_entries()}
    assert {
        ("config.guidance", "remove the repetition"),  # a validator
        ("trainers.trl.checks", "choose a multiple"),  # returned
        ("assembly.verl.refusals", "set trainer.max_steps"),  # appended
        ("config.sets", "name another split, or for a file another path"),  # a list
    } <= faults
    rows = {(entry.module, entry.cure) for entry in SCRIPT.row_entries()}
    assert {
        ("data.files", "correct or remove the line"),
        ("data.questions", "write the question or remove the row"),
        ("data.rows", "give a letter, the text of one option or its index from 0"),
    } <= rows


def test_a_fault_without_a_cure_is_seen() -> None:
    tree = ast.parse('def _faults(x):\n    faults = []\n    faults.append(f"found {x} here")')
    (text,) = SCRIPT._fault_texts(tree, is_config=False)
    assert SCRIPT._parts(SCRIPT._template(text)) == ("found X here", "")


def test_every_raised_class_has_its_list() -> None:
    own = {
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, errors.RephraseError)
    }
    assert set(SCRIPT.error_classes()) == own
    raised = {entry.error for entry in SCRIPT.entries()} - {"BadRowsError"}
    assert raised == own - {"RephraseError"}
    assert all(f"\n### {name}\n" in PAGE for name in raised)


@pytest.mark.parametrize(
    ("source", "cause", "cure"),
    [
        ('ConfigError(f"a: found {x!r}; required: b; do this: c")', "a: found X; required: b", "c"),
        ('DataError("no rows; required: at least one")', "no rows", "give at least one"),
        ('DataError(f"{path}: no such folder: check the path")', "PATH: no such folder",
         "check the path"),
        ('EngineError("it broke")', "it broke", ""),
        ('ConfigError("not valid", faults)', "not valid", SCRIPT.FAULTS),
    ],
)  # fmt: skip
def test_causes_and_cures_are_told_apart(source: str, cause: str, cure: str) -> None:
    tree = ast.parse(source)
    (call,) = SCRIPT._error_calls(tree)
    (message,) = SCRIPT._messages(call, tree)
    assert SCRIPT._parts(message) == (cause, cure)


@pytest.mark.parametrize("name", sorted(SCRIPT.error_classes()))
def test_errors_survive_pickling(name: str) -> None:
    """They cross process boundaries, as from a pool of verifiers."""
    made = getattr(errors, name)
    fields = {"ShapeError": ("a", "b", "c"), "StoppedError": ("a", 15)}.get(name, ("said",))
    error = made(*fields)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  (our own bytes)
