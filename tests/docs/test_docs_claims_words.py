"""What README and docs/reproduction.md say in words about the claims is in the study's card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CARD = json.loads(
    (Path(__file__).parents[2] / "results" / "claims" / "card.json").read_text(encoding="utf-8")
)
GOOD = [
    (protocol, expert, "good") for protocol in ("mixed", "hard") for expert in ("alien", "near")
]
POOR = [(protocol, expert, "poor") for protocol, expert, _ in GOOD]


def arms(*condition: str) -> dict[str, dict]:
    (found,) = [c for c in CARD["conditions"] if tuple(c["condition"].values()) == condition]
    return {row["arm"]: row for row in found["equal_prompts"]}


def hard(condition: tuple[str, str, str], arm: str) -> float:
    return arms(*condition)[arm]["hard"]["difference"]


def difference(condition: tuple[str, str, str], arm: str) -> dict:
    (found,) = [
        c for c in CARD["claims"][3]["conditions"] if tuple(c["condition"].values()) == condition
    ]
    return next(e for e in found["effects"] if e["what"] == f"hard avg@4, repo minus {arm}")


def test_ten_and_five_seeds_in_eight_conditions() -> None:
    for condition in GOOD + POOR:
        seeds = {arm: row["seeds"] for arm, row in arms(*condition).items() if arm != "base"}
        assert {arm for arm, n in seeds.items() if n == 10} == {"grpo", "luffy", "naive", "repo"}
        assert set(seeds.values()) == {5, 10}


@pytest.mark.parametrize("condition", GOOD, ids=str)
def test_good_rewriters_learn_as_much_from_rewrites_made_once_for_an_eighth(condition) -> None:
    found = difference(condition, "rewrite_sft")
    assert found["low"] < 0 < found["high"]
    tokens = arms(*condition)["rewrite_sft"]["tokens"] / arms(*condition)["repo"]["tokens"]
    assert 0.11 < tokens < 0.14
    assert hard(condition, "grpo") == 0


@pytest.mark.parametrize(
    ("condition", "share"), zip(POOR, (1 / 3, 3 / 4, 1 / 8, 1 / 2), strict=True), ids=str
)
def test_poor_rewriters_do_not(condition, share) -> None:
    assert hard(condition, "rewrite_sft") / hard(condition, "repo") == pytest.approx(
        share, abs=0.03
    )
    good = (*condition[:2], "good")
    assert hard(condition, "repo") == pytest.approx(hard(good, "repo"), abs=0.03)


def test_where_others_lead() -> None:
    alien, near = POOR[2:]
    assert difference(alien, "guide")["high"] < 0
    assert all(difference(near, arm)["high"] < 0 for arm in ("guide", "luffy", "luffy_gated"))
    loses = {arm: row["lost"]["difference"] for arm, row in arms(*near).items() if arm != "base"}
    assert min(loses["luffy"], loses["luffy_gated"]) > 2 * loses["repo"]
    assert loses["guide"] > loses["repo"]
    verdicts = [c["verdict"] for c in CARD["claims"][3]["conditions"]]
    assert verdicts.count("fails") == 2
    assert verdicts.count("undecided") == 6
