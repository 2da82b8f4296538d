"""Tests that need verl: skipped, each file with this reason, in an environment without it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
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
    try:
        version("verl")  # not whether it can be found: these folders have the same name
    except PackageNotFoundError:
        return SkippedModule.from_parent(parent, path=module_path)
    return None
