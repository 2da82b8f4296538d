"""docs/algorithm.md and core name the same functions and the same papers, in both directions."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import rephrase_rl.core

PAGE = Path(__file__).parents[2] / "docs" / "algorithm.md"
PAPER = re.compile(r"arXiv:\d{4}\.\d{5}")


def functions_of_core():
    found = {}
    for info in pkgutil.iter_modules(rephrase_rl.core.__path__):
        module = importlib.import_module(f"rephrase_rl.core.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                found[f"{info.name}.{name}"] = inspect.getdoc(function) or ""
    return found


def rows_of_the_page():
    """First cell of a table row, which names a function, to the whole row."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \|(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a function has two rows"
    return dict(rows)


def test_every_function_has_a_row_and_every_row_a_function():
    assert set(rows_of_the_page()) == set(functions_of_core())


def test_every_function_named_anywhere_on_the_page_exists():
    modules = "|".join({name.split(".")[0] for name in functions_of_core()})
    named = re.findall(rf"`((?:{modules})\.\w+)`", PAGE.read_text(encoding="utf-8"))
    assert set(named) <= set(functions_of_core())


def test_page_and_docstring_cite_the_same_papers():
    rows = rows_of_the_page()
    for name, text in functions_of_core().items():
        assert set(PAPER.findall(rows[name])) == set(PAPER.findall(text)), name
