"""The studies that come with the package."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from rephrase_rl.config import load_study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import StudyConfig


def shipped_study(name: str, overrides: Sequence[str] = ()) -> StudyConfig:
    """A shipped study: ``claims``, ``ablations``, ``plus`` or ``plus-ab``.

    Raises:
        ConfigError: The overrides do not fit.

    Example:
        >>> shipped_study("ablations").baseline
        'repo'
    """
    with resources.as_file(resources.files("rephrase_rl.studies") / f"{name}.yaml") as path:
        return load_study(path, overrides)
