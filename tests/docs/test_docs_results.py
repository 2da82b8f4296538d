"""Figures that README and docs quote are those of the cards under results/."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARD = json.loads((ROOT / "results" / "demo_seeds" / "card.json").read_text())


@pytest.fixture(scope="module")
def results() -> dict:
    return runpy.run_path(str(ROOT / "scripts" / "results.py"))


def test_published_numbers_are_those_of_the_stored_results(results) -> None:
    """What ``make results-check`` does: README, docs and cards are made again and compared."""
    for name, text in results["texts"](ROOT).items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name}: run `make results`"


def test_a_number_changed_by_hand_would_be_seen(results) -> None:
    page = "before <!-- results:x -->\n| 0.900 |\n<!-- /results:x --> after 0.900"
    blocks = {"x": ["| 0.900 |"]}
    assert results["with_blocks"](page, blocks) == page
    assert results["with_blocks"](page.replace("| 0.900", "| 0.901"), blocks) == page


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/reproduction.md", "docs/methods.md", "docs/mechanism.md", "docs/lora.md"],
)
def test_generated_parts_are_marked(name) -> None:
    assert re.search(
        r"<!-- (results:|method-table|lora-lab)", (ROOT / name).read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("arm", ["base", "grpo", "repo"])
def test_the_demos_table_is_its_card(arm) -> None:
    (row,) = [
        line
        for line in (ROOT / "docs" / "lab.md").read_text().splitlines()
        if line.lower().startswith(f"| {arm} |")
    ]
    for name in ("hard", "easy", "general"):
        interval = CARD["over_seeds"][arm][name]
        cell = f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
        assert cell in row


def test_card_says_what_made_it() -> None:
    for key in ("command", "git", "versions", "hardware", "seeds", "per_seed"):
        assert CARD[key], key
    assert CARD["command"] == "make demo-seeds"
    assert len(CARD["seeds"]) >= 5


@pytest.mark.parametrize(
    "folder", ["src/rephrase_rl/lab/policies/base", "results/ab/policies/ab-base-0"]
)
def test_bars_of_the_documentation_are_those_stored(folder) -> None:
    bars = json.loads((ROOT / folder / "bars.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "lab.md").read_text()
    for style, share in bars["rewriting"].items():
        assert f"{style} {share:.3f}" in page
    for name, share in bars["abilities"].items():
        assert f"{name} {share:.3f}" in page
