"""The table of docs/scaling.md is that of its card, and every claim of support has a label."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
CARD = json.loads((ROOT / "results" / "engine_parity" / "card.json").read_text())
LABELS = ("tested", "contract-tested", "configured but not run")


def table_below(heading: str) -> list[list[str]]:
    lines = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_claim_says_how_far_it_was_taken() -> None:
    rows = table_below("What is known to work")
    assert len(rows) > 10
    for claim, label, source in rows:
        assert label.split(":")[0] in LABELS, claim
        assert "`" in source, f"{claim}: nothing says what shows it"


def test_sections_that_show_how_say_how_far_that_was_taken() -> None:
    sections = re.split(r"^#{2,3} ", PAGE, flags=re.MULTILINE)[1:]
    shows = [s for s in sections if re.search(r"^(?:    |```)", s, re.MULTILINE)]
    assert len(shows) >= 3
    for section in shows:
        assert any(label in section for label in LABELS[1:]), section.splitlines()[0]


def test_the_parity_table_is_the_cards() -> None:
    rows = table_below("The same rollouts through both engines")
    expected = [
        [
            f"`{name}`",
            f"{own['loss_value']:.4f}",
            *(f"{own[figure]:.1e}" for figure in ("advantages", "loss", "gradient")),
        ]
        for name, own in CARD["presets"].items()
    ]
    assert rows == expected


def test_no_difference_is_above_the_limit() -> None:
    assert CARD["limit"] == 1e-5
    for own in CARD["presets"].values():
        assert max(own[name] for name in ("advantages", "loss", "gradient")) <= CARD["limit"]


def test_files_that_the_page_names_are_there() -> None:
    for name in re.findall(r"`((?:recipes|scripts|results|tests)/[a-z0-9_./]+)`", PAGE):
        assert (ROOT / name).exists(), name
