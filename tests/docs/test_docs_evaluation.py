"""docs/evaluation.md: its tables are those of the files and of the simulation."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from rephrase_rl.config import declared_benchmark
from rephrase_rl.config.yaml_text import read_yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def block(name: str) -> str:
    return PAGE.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- /{name} -->")[0]


def test_the_table_is_that_of_the_declared_benchmarks() -> None:
    assert block("benchmarks") == script("evaluation_docs").table()


def test_the_declaration_that_is_shown_is_the_file() -> None:
    (shown,) = re.findall(r"```yaml\n(name: aime24\n.*?)```", PAGE, re.DOTALL)
    assert read_yaml(shown) == declared_benchmark("aime24")


def test_the_coverage_that_is_shown_is_within_the_bars() -> None:
    rows = [line.split(" | ") for line in block("coverage").splitlines() if "%" in line]
    assert len(rows) == 26
    for _, _, _, mean, lowest, narrowest in rows:
        assert 93 <= float(mean.rstrip("%")) <= 97
        assert float(lowest.split("%")[0]) >= 90
        assert float(narrowest.rstrip(" |")) > 0
