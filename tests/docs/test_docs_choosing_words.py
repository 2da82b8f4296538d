"""What docs/choosing.md and docs/smollm2.md say in words is what their tables and cards say."""

from __future__ import annotations

import json
from pathlib import Path

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


CARD = json.loads((ROOT / "results/smollm2_study/card.json").read_text(encoding="utf-8"))


def said(words: str) -> bool:
    return words in " ".join(SMALL.split())


def test_what_repo_is_above_on_hard_problems_is_what_the_card_says() -> None:
    above = {arm: found["hard"] for arm, found in CARD["repo_minus"].items()}
    methods = {arm: found["methods"] for arm, found in above.items() if found["methods"]}
    assert set(methods) == {"grpo", "luffy", "naive", "rewrite_sft"}
    beyond = {arm for arm, found in methods.items() if found["low"] > 0}
    assert beyond == {"grpo", "luffy", "naive"}
    sizes = sorted(f"{above[arm]['mean']:.3f}" for arm in beyond)
    words = "with each interval over seeds and problems just above 0"
    assert said(f"by {sizes[0]} to {sizes[-1]}, {words}")
    corrected = {arm: f"{methods[arm]['p_holm']:.3f}" for arm in beyond}
    assert corrected["grpo"] == corrected["naive"] > "0.05" > corrected["luffy"]
    assert said(f"`luffy` alone is behind beyond doubt (p {corrected['luffy']})")
    assert said(f"for the other two p is {corrected['grpo']}")
    gain = CARD["arms"]["repo"]["hard"]["gain"]
    assert gain["low"] < 0
    assert said(f"`repo` gains {gain['mean']:.3f}, and that interval, over problems, holds 0")
    for arm in ("repo", "grpo", "luffy", "naive"):
        seeds = "{:.3f}, {:.3f} and {:.3f}".format(*CARD["arms"][arm]["hard"]["per_seed"])
        assert said(f"`{arm}` has {seeds}" if arm == "repo" else f"`{arm}` {seeds}")
    tokens = {
        arm: sum(cost["generated_tokens"] for cost in CARD["arms"][arm]["costs"])
        for arm in ("repo", "rewrite_sft")
    }
    assert 6 < tokens["repo"] / tokens["rewrite_sft"] < 7
    assert said("it took less than a sixth of the tokens")


def test_rewrites_of_the_small_model_are_counted_as_in_the_card() -> None:
    costs = CARD["arms"]["repo"]["costs"]
    right, asked = (sum(cost[key] for cost in costs) for key in ("accepted", "candidates"))
    assert said(f"in {asked:.0f}; of as many rewrites {right:.0f} were right and finished")
    refused = [rules for cost in costs for rules in cost["refusals"].items()]
    unfinished = sum(count for rules, count in refused if rules == "finished")
    wrong = sum(count for rules, count in refused if rules.startswith("reward_above_replaced"))
    assert wrong + unfinished == asked - right
    assert (wrong, unfinished) == (17, 8)
    assert said("(17 were wrong, eight were right and did not end)")
    groups = 4 * sum(cost["steps"] for cost in costs)
    assert said(f"Of {groups} groups all rollouts failed in {asked:.0f}")
    (strict,) = CARD["arms"]["repo_steps_valid"]["costs"]
    words = f"took {strict['accepted']:.0f} of {strict['candidates']:.0f} rewrites where `repo`"
    assert said(f"{words} with the same seed took {costs[1]['accepted']:.0f}")


def test_rollouts_that_are_cut_off_are_the_cards() -> None:
    ends = {
        arm: sorted(cost["cut_off_at_the_end"] for cost in CARD["arms"][arm]["costs"])
        for arm in ("naive", "grpo", "repo", "luffy")
    }
    assert [round(share, 1) for share in ends["naive"]] == [0.2, 0.2, 0.3]
    assert said("a fifth to three tenths of `naive`'s rollouts run into the length limit")
    assert (round(ends["grpo"][2], 1), round(ends["luffy"][2], 1)) == (0.2, 0.1)
    assert said("so does a fifth of one seed of `grpo` and a tenth of one of `luffy`")
    assert max(ends["grpo"][1], *ends["repo"], ends["luffy"][1]) < 0.05


def test_no_arm_loses_what_nothing_was_trained_on() -> None:
    warm = CARD["arms"]["warm"]["perplexity"]["mean"]
    for arm, figures in CARD["arms"].items():
        if arm not in ("base", "warm"):
            gains = [figures[ability]["gain"] for ability in ("arc", "ecqa")]
            assert all(abs(gain["mean"]) <= 0.0101 for gain in gains)
            assert all(gain["low"] > -0.0301 for gain in gains)
            assert figures["perplexity"]["mean"] - warm < 0.45
    assert said(f"{CARD['arms']['base']['perplexity']['mean']:.1f} to {warm:.1f}")
