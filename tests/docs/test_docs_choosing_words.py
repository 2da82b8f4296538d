"""What docs/choosing.md and docs/smollm2.md say in words is what their tables and cards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
SMALL = (ROOT / "docs" / "smollm2.md").read_text(encoding="utf-8")


def cells(row: str) -> list[str]:
    """Cells of the row of the table that begins so."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(row)]
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


def test_what_the_batch_keeps_is_what_the_table_says() -> None:
    kept = [cells(f"| {family}, hard | batches")[4] for family in ("chain", "ab")]
    chain, other = (f"{float(cell.split()[0]):.2f}" for cell in kept)
    assert f"keeps {chain} and {other} more in the two families" in PAGE


def test_the_verdicts_are_those_of_the_table() -> None:
    both = [cells(f"| {family}, hard | `repo_plus`")[5] for family in ("chain", "ab")]
    assert both == ["beats", "beats"]
    assert cells("| ab, mixed |")[5] == "behind"
    assert "**does not stand, and there is no preset of it**" in PAGE
    earlier = cells("| chain, hard_and_few |")[3].split(", p")[0].replace("], ", "]")
    assert f"on the chains: {earlier} on the same batches" in PAGE


@pytest.mark.parametrize(("arm", "gained"), [("repo", "+0.030"), ("repo_lora", "+0.025")])
def test_gains_of_the_small_model_are_the_cards(arm: str, gained: str) -> None:
    card = json.loads((ROOT / "results/smollm2_study/card.json").read_text(encoding="utf-8"))
    assert f"{card['arms'][arm]['hard']['gain']['mean']:+.3f}" == gained
    assert gained in SMALL.split("## LoRA")[1]
    (cost,) = card["arms"]["repo"]["costs"]
    assert (cost["accepted"], cost["candidates"]) == (125, 133)
