"""docs/data.md: its table is that of the mappings, and its recipe works as it is printed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from rephrase_rl.cli.main import main
from rephrase_rl.config import DataConfig, MappingConfig, TableConfig
from rephrase_rl.data import mapping_names

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def script():
    spec = importlib.util.spec_from_file_location(
        "docs_script", ROOT / "scripts/data_check_docs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def block(name: str) -> str:
    return PAGE.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- /{name} -->")[0]


def test_the_table_is_that_of_the_mappings() -> None:
    assert block("mappings") == script().mapping_table()
    assert all(f"| `{name}` |" in block("mappings") for name in mapping_names())


def test_every_check_of_the_script_stands_in_the_page() -> None:
    shown = re.findall(r"^\$ rephrase-rl data check (.*)$", block("checks"), re.MULTILINE)
    assert shown == list(script().CHECKS)


@pytest.mark.parametrize("model", [MappingConfig, TableConfig])
def test_every_field_of_a_mapping_is_explained(model) -> None:
    for field in model.model_fields:
        assert f"`{field}`" in PAGE, field


def test_every_field_for_thoughts_is_explained() -> None:
    for field in ("expert_part", "expert_tokens", "over_expert_tokens", "strip_think"):
        assert field in DataConfig.model_fields
        assert f"`{field}`" in PAGE


@pytest.mark.parametrize("heading", ["Recipe", "Which part fits"])
def test_what_the_page_says_can_be_done_and_prints_that(
    heading, tmp_path, monkeypatch, capsys
) -> None:
    """Files are written from the page, the command is run, the output is that of the page."""
    section = PAGE.split(f"### {heading}\n")[1].split("\n## ")[0]
    for name, text in re.findall(r"Save as `(\S+)`:\n\n```\w+\n(.*?)```", section, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (command,) = re.findall(r"^    rephrase-rl (.*)$", section, re.MULTILINE)
    printed = section.rpartition("\n```\n")[0].rpartition("\n```\n")[2]
    monkeypatch.chdir(tmp_path)
    status = main(command.split())
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert status == 0
    assert lines == [line for line in printed.splitlines() if line.strip()]
