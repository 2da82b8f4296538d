"""Tests that need verl: skipped, each file with this reason, in an environment without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

VERSION = "0.9.1"
REASON = "verl is not installed here; `make test-verl` runs these tests where it is"


class SkippedModule(pytest.Module):
    """A test file that is not even imported."""

    def collect(self) -> Any:
        pytest.skip(REASON, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Any:
    """Hook of the ``conftest.py`` in folders of such tests."""
    if importlib.util.find_spec("verl") is None:
        return SkippedModule.from_parent(parent, path=module_path)
    return None
