"""Figures that README quotes are those of the cards under results/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARD = json.loads((ROOT / "results" / "demo_seeds" / "card.json").read_text())


@pytest.mark.parametrize("arm", ["base", "grpo", "repo"])
def test_readme_table_is_the_cards(arm) -> None:
    (row,) = [
        line
        for line in (ROOT / "README.md").read_text().splitlines()
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


def test_bars_of_the_documentation_are_those_shipped() -> None:
    bars = json.loads(
        (ROOT / "src/rephrase_rl/lab/policies/base/bars.json").read_text(encoding="utf-8")
    )
    page = (ROOT / "docs" / "lab.md").read_text()
    for style, share in bars["rewriting"].items():
        assert f"{style} {share:.3f}" in page
    for name, share in bars["abilities"].items():
        assert f"{name} {share:.3f}" in page
