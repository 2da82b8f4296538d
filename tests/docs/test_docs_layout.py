"""Rules of the source tree that no linter knows: sizes, names, and nothing of one machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 100
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "manager.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_file_keeps_to_the_budget(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.name not in FORBIDDEN_NAMES
    assert len(text.splitlines()) <= MAX_FILE_LINES
    tree = ast.parse(text)
    assert text == "" or ast.get_docstring(tree), "a module says what lives in it"
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    too_long = {f.name for f in functions if f.end_lineno - f.lineno + 1 > MAX_FUNCTION_LINES}
    assert not too_long


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_docstrings_hold_no_markup_by_accident(path: Path) -> None:
    """Sphinx takes |x| for a substitution; the site's build would find it, after minutes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = re.sub(r"``.*?``|`[^`]*`", "", str(node.value.value), flags=re.DOTALL)
            assert not re.search(r"(?<![\w|])\|[^\s|][^|\n]*?\|(?![\w|])", text), node.lineno


def test_config_fields_are_explained_to_users() -> None:
    """Faults quote the doc string under a field; one that is missing leaves the user alone."""
    from rephrase_rl.config import ExpertsConfig, GuidanceConfig, RunConfig
    from rephrase_rl.config.faults import _models_in

    stack, seen = [RunConfig, GuidanceConfig, ExpertsConfig], set()
    while stack:
        model = stack.pop()
        seen.add(model)
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            stack += [m for m in _models_in(field.annotation) if m not in seen]
