"""The table of faults in docs/reliability.md is that of the cards, and meets what is promised."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORDS = {name: ROOT / "results" / "torture" / name for name in ("all", "kills_200")}
CARDS = {name: json.loads((path / "card.json").read_text()) for name, path in RECORDS.items()}


def test_table_is_the_cards() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    shown = page.split("<!-- torture -->\n")[1].split("<!-- /torture -->")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown]
    families = [*CARDS["all"]["families"].items(), *CARDS["kills_200"]["families"].items()]
    assert len(cells) == len(families)
    for (name, *figures), (family, counts) in zip(cells, families, strict=True):
        assert name.split(",")[0] == family
        assert figures == [str(counts[key]) for key in ("kinds", "runs", "survived", "lost")]


def test_nothing_is_lost_and_enough_was_tried() -> None:
    for card in CARDS.values():
        assert not card["git"]["dirty"]
        for counts in card["families"].values():
            assert counts["survived"] == counts["runs"]
            assert counts["lost"] == 0
    families = CARDS["all"]["families"]
    assert sum(counts["kinds"] for counts in families.values()) >= 40
    assert families["kill"]["runs"] >= 60
    assert families["kill"]["kinds"] >= 4
    assert CARDS["kills_200"]["families"]["kill"]["runs"] >= 200


def test_logs_have_a_line_for_each_run() -> None:
    for name, path in RECORDS.items():
        lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
        runs = sum(counts["runs"] for counts in CARDS[name]["families"].values())
        assert len(lines) == runs
        assert all(line["survived"] and line["lost"] == 0 for line in lines)
