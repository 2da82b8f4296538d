"""The light layers stay light: importing them loads no torch, and the package itself nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "trl", "datasets", "matplotlib", "numpy", "pydantic")


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_package_import_loads_nothing_heavy() -> None:
    assert modules_after("import rephrase_rl").isdisjoint(HEAVY)


@pytest.mark.parametrize("statement", ["import rephrase_rl.config", "import rephrase_rl.cli.main"])
def test_config_and_command_line_import_without_torch(statement: str) -> None:
    assert modules_after(statement).isdisjoint({"torch", "transformers", "trl", "datasets"})
