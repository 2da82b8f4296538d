"""docs/methods.md names every preset, every member of a block, and the figures of the card."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from rephrase_rl.methods import PRESETS, resolve_guidance

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
CARD = json.loads((ROOT / "results" / "method_table" / "card.json").read_text())


def kinds() -> set[str]:
    found = set()
    for block in ("gates", "sources", "acceptance", "slots", "train"):
        module = importlib.import_module(f"rephrase_rl.config.blocks.{block}")
        for _, model in inspect.getmembers(module, inspect.isclass):
            if issubclass(model, BaseModel) and "kind" in model.model_fields:
                found.add(model.model_fields["kind"].default)
    return found - {"custom"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_its_row_its_section_and_its_deviations(name) -> None:
    guidance = resolve_guidance(name, {})
    (row,) = re.findall(rf"^\| `{name}` \| `\w+` .*$", PAGE, re.MULTILINE)
    for kind in (guidance.gate, guidance.source, guidance.slot, guidance.train, *guidance.accept):
        assert f"`{kind.kind}`" in row
    section = PAGE.split(f"\n### {name}\n")[1].split("\n### ")[0]
    assert all(deviation in section for deviation in PRESETS[name].deviations)
    assert PRESETS[name].paper in section


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_member_of_a_block_is_named(kind) -> None:
    assert re.search(rf"^\| `{kind}` \| ", PAGE, re.MULTILINE)


@pytest.mark.parametrize("method", CARD["rows"])
def test_table_is_the_cards(method) -> None:
    figures = [CARD["rows"][method][name]["mean"] for name in ("hard", "easy", "general")]
    cell = re.escape(method) if method == "base" else f"`{method}`"
    cells = r" \[[\d., ]+\] \| ".join(f"{figure:.3f}" for figure in figures)
    assert re.search(rf"^\| {cell} \| {cells} \[", PAGE, re.MULTILINE)


def test_table_has_every_preset_and_says_what_made_it() -> None:
    assert set(CARD["rows"]) == {"base", *PRESETS}
    for key in ("command", "git", "versions", "hardware", "seeds"):
        assert CARD[key], key
    assert not CARD["git"]["dirty"]
