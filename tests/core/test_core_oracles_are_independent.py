"""An oracle that shares code with its subject proves nothing."""

import ast
from pathlib import Path

import oracles

ALLOWED = {"math", "fractions"}


def test_oracles_import_neither_torch_nor_the_package():
    files = sorted(Path(oracles.__file__).parent.glob("*.py"))
    assert len(files) >= 3
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= ALLOWED, file.name
            if isinstance(node, ast.ImportFrom):
                assert node.module in ALLOWED, file.name
