"""docs/compare.md shows the comparison that its card holds."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
FOLDER = ROOT / "results" / "compare_methods"
CARD = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))


def script():
    path = ROOT / "scripts" / "compare_methods.py"
    spec = importlib.util.spec_from_file_location("compare_methods", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_are_the_cards() -> None:
    block = PAGE.split("<!-- comparison -->\n")[1].split("\n<!-- /comparison -->")[0]
    assert block == script().shown((FOLDER / "card.md").read_text(encoding="utf-8"))
    assert len(re.findall(r"^### ", block, re.MULTILINE)) == len(script().SHOWN)


@pytest.mark.parametrize("place", range(4))
def test_the_means_in_the_page_are_those_of_the_runs(place) -> None:
    arm = CARD["arms"][place]
    for benchmark in CARD["benchmarks"]:
        means = [run["avg_at_k"]["mean"] for run in benchmark["arms"][place]["runs"]]
        assert benchmark["arms"][place]["mean"] == pytest.approx(sum(means) / len(means))
        assert f"{sum(means) / len(means):.3f}" in PAGE
    assert len(arm["seeds"]) >= 3


def test_the_card_says_what_made_it() -> None:
    assert [arm["label"] for arm in CARD["arms"]] == list(script().METHODS)
    assert CARD["warnings"] == []
    for run in CARD["runs"]:
        assert run["git"]["commit"]
        assert not run["git"]["dirty"]
        for name in ("command", "config_hash", "started_at", "hardware", "versions"):
            assert run[name], name


def test_the_picture_is_there_and_fetches_nothing() -> None:
    svg = (FOLDER / "trilemma.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' ]+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
