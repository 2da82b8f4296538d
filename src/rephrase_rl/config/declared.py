"""Benchmarks declared as files: those that come with the package, and the user's own.

A file holds the fields of one benchmark, as they would stand under ``evaluation.benchmarks``. There
a declared one can be named in place of its fields (``math500``), or changed
(``{like: math500, limit: 100}``); both are replaced by the whole before anything is checked, so a
stored configuration says everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rephrase_rl.bounded_yaml import MAX_CHARACTERS
from rephrase_rl.config.faults import nearest
from rephrase_rl.config.yaml_text import read_yaml
from rephrase_rl.errors import ConfigError
from rephrase_rl.secrecy import without_secrets

FOLDER = Path(__file__).parent / "benchmarks"
SUFFIXES = (".yaml", ".yml")


def benchmark_names() -> tuple[str, ...]:
    """Names of the benchmarks that come with the package, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def declared_benchmark(name: str) -> dict[str, Any]:
    """The fields of a benchmark that comes with the package.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in benchmark_names():
        guess = nearest(name, benchmark_names())
        raise ConfigError(
            f"found benchmark {name!r}; required: one of {', '.join(benchmark_names())}; do this: "
            + (f"did you mean {guess}?" if guess else "see `rephrase-rl eval --list`")
        )
    return _read(FOLDER / f"{name}.yaml")


def read_benchmark_file(path: str | Path) -> dict[str, Any]:
    """The fields of a benchmark that a user's file declares.

    Raises:
        ConfigError: The file cannot be read, or holds no mapping.
    """
    try:
        return _read(Path(path))
    except OSError as error:
        raise ConfigError(
            f"found no readable file {path} ({error.strerror}); required: a YAML file that declares"
            " a benchmark; do this: check the path (docs/evaluation.md shows one)"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"found text in {path} that is not valid YAML: {without_secrets(str(error))}; required:"
            " a YAML mapping; do this: correct that place"
        ) from error


def expand_benchmarks(raw: dict[str, Any]) -> list[str]:
    """Put declared benchmarks in the place of their names under ``evaluation.benchmarks``.

    Args:
        raw: A run configuration, or its ``evaluation`` part under that key; changed in place.

    Returns:
        One sentence for each name that is not declared.
    """
    evaluation = raw.get("evaluation")
    if not isinstance(evaluation, dict) or evaluation.get("benchmarks") is None:
        return []
    written = evaluation["benchmarks"]
    items = written if isinstance(written, list) else [written]
    faults: list[str] = []
    evaluation["benchmarks"] = [_expanded(item, faults) for item in items]
    return faults


def _expanded(item: Any, faults: list[str]) -> Any:
    name = item.get("like") if isinstance(item, Mapping) else item
    if not isinstance(name, str):
        return item
    try:
        whole = declared_benchmark(name)
    except ConfigError as error:
        faults.append(f"evaluation.benchmarks: {error}")
        return item
    if isinstance(item, Mapping):
        for key, value in item.items():
            if key == "data" and isinstance(value, Mapping):
                whole["data"] |= value
            elif key != "like":
                whole[key] = value
    return whole


def _read(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as file:
        raw = read_yaml(file.read(MAX_CHARACTERS + 1))
    if not isinstance(raw, dict):
        raise ConfigError(
            f"found {type(raw).__name__} in {path}; required: a YAML mapping with at least name "
            "and data; do this: see docs/evaluation.md for an example"
        )
    return raw
