"""A candidate beats the baseline where it is ahead on both endpoints beyond doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rephrase_rl.studies import figures
from rephrase_rl.studies.ablation import pairs_by_change, variant_of
from rephrase_rl.studies.cells import Cell, base_cell
from rephrase_rl.studies.head_to_head import beats, head_to_head_table, trade_offs
from rephrase_rl.studies.outcomes import runs_of
from rephrase_rl.studies.shipped import shipped_study
from study_fakes import finished, tiny_study

STUDY = tiny_study(
    baseline="repo",
    sweep=None,
    arms={"repo": {"method": "repo", "rate": 2e-4}, "plus": {"method": "repo", "rate": 2e-4}},
    order=[
        {
            "kind": "main",
            "protocols": "hard",
            "experts": "alien",
            "arms": ["repo", "plus"],
            "seeds": 3,
        }
    ],
)
SPENT = {"tokens": 4000, "tokens_by_step": [100 * (i + 1) for i in range(40)]}
BASES = [finished(base_cell("good", seed)) for seed in range(3)]
BASE_HARD, BASE_KEPT = (0.6, 0.65, 0.7), (0.8, 0.75, 0.85)


def run(arm: str, seed: int, hard: float, kept: float, protocol: str = "hard") -> dict[str, Any]:
    cell = Cell(arm, protocol, "alien", "good", seed, 2e-4)
    return finished(cell, hard, kept, **SPENT)


def runs(hard: tuple[float, ...], kept: tuple[float, ...]) -> Any:
    rows = [*BASES, *(run("repo", s, BASE_HARD[s], BASE_KEPT[s]) for s in range(3))]
    rows += [run("plus", s, hard[s], kept[s]) for s in range(3)]
    return runs_of(rows)


@pytest.mark.parametrize(
    ("hard", "kept", "ahead"),
    [
        ((0.8, 0.9, 0.9), (0.95, 0.925, 1.0), True),
        ((0.8, 0.9, 0.9), BASE_KEPT, False),  # the same is kept
        (BASE_HARD, (0.95, 0.925, 1.0), False),  # as high
        ((0.8, 0.9, 0.9), (0.7, 0.625, 0.725), False),  # less is kept
        ((0.4, 0.5, 0.5), (0.95, 0.925, 1.0), False),  # lower
        ((0.6, 0.9, 0.7), (0.95, 0.925, 1.0), False),  # higher, and in doubt
    ],
)
def test_both_endpoints_have_to_be_ahead(
    hard: tuple[float, ...], kept: tuple[float, ...], *, ahead: bool
) -> None:
    found = runs(hard, kept)
    _, pairs = pairs_by_change(STUDY, found, "hard")
    assert beats(variant_of("plus", "hard", pairs["plus", "hard"])) is ahead
    lines = head_to_head_table({"chain": (STUDY, found)})
    assert lines[2].startswith("| chain, hard | `plus` | 3 | ")
    assert ("| **beats** |" in lines[2]) is ahead


def test_behind_on_one_endpoint_is_said_whatever_the_other_does() -> None:
    for hard, kept in (
        ((0.4, 0.5, 0.5), (0.95, 0.925, 1.0)),
        ((0.8, 0.9, 0.9), (0.7, 0.625, 0.725)),
    ):
        lines = head_to_head_table({"chain": (STUDY, runs(hard, kept))})
        assert "| **behind** |" in lines[2]
    in_doubt = head_to_head_table({"chain": (STUDY, runs((0.4, 0.75, 0.6), BASE_KEPT))})
    assert "| neither |" in in_doubt[2]


def test_a_p_value_is_not_corrected_for_other_changes() -> None:
    found = runs((0.8, 0.9, 0.9), (0.95, 0.925, 1.0))
    alone = head_to_head_table({"chain": (STUDY, found)})
    cell = Cell("third", "hard", "alien", "good", 0, 2e-4)
    others = [finished(replace(cell, seed=s), 0.5 + s / 9, 0.6 + s / 7, **SPENT) for s in range(3)]
    beside = head_to_head_table({"chain": (STUDY, [*found, *runs_of([*BASES, *others])])})
    assert len(beside) == len(alone) + 1
    assert alone[2] in beside


def test_the_trade_off_has_both_runs_of_every_pair() -> None:
    rows = [run("repo", 0, 0.6, 0.8), run("plus", 0, 0.8, 0.9), run("plus", 1, 1.0, 1.0), *BASES]
    found = trade_offs(STUDY, runs_of(rows), "hard")
    # Straight curves from 0: the mean height is half of the end.
    assert found["repo"] == [(pytest.approx(0.8), pytest.approx(0.3))]
    assert found["plus"] == [(pytest.approx(0.9), pytest.approx(0.4))]
    assert trade_offs(STUDY, runs_of(rows), "mixed") == {}
    drawn = figures.trade_off({"chain": (STUDY, runs_of(rows))})
    assert drawn is not None
    assert "chain, hard" in drawn
    assert "chain, mixed" not in drawn
    assert figures.trade_off({"chain": (STUDY, [])}) is None


def test_a_candidate_on_batches_of_its_own_is_drawn_with_what_it_is_compared_with() -> None:
    few = {"hard": 0.5, "easy": 0.25, "against": "hard"}
    study = STUDY.model_copy(
        update={"protocols": tiny_study(
            baseline="repo", sweep=None, arms={"repo": {"method": "repo", "rate": 2e-4}},
            protocols={"hard": {"hard": 1.0}, "few": few},
            order=[{"kind": "main", "protocols": "hard", "experts": "alien", "arms": ["repo"]}],
        ).protocols}
    )  # fmt: skip
    rows = [run("repo", 0, 0.6, 0.8), run("plus", 0, 0.8, 0.9, "few"), *BASES]
    rows.append(run("repo", 0, 0.7, 0.9, "few"))
    assert set(trade_offs(study, runs_of(rows), "hard")) == {"repo", "plus"}
    drawn = figures.trade_off({"chain": (study, runs_of(rows))})
    assert drawn is not None
    assert "chain, hard" in drawn
    assert "chain, few" not in drawn
    lines = head_to_head_table({"chain": (study, runs_of(rows))})
    assert any(line.startswith("| chain, hard | `plus`, batches `few` | 1 |") for line in lines)
    assert any(line.startswith("| chain, hard | batches `few` | 1 |") for line in lines)


def test_the_two_shipped_studies_differ_in_the_family_alone() -> None:
    ours, other = (shipped_study(name).model_dump() for name in ("plus", "plus-ab"))
    assert ours["arms"] == other["arms"]
    assert ours["order"] == other["order"]
    assert ours["protocols"] == other["protocols"]
    assert (ours["family"], other["family"]) == ("chain", "ab")
    seeds = [entry.first_seed for entry in shipped_study("plus").order]
    ablations = shipped_study("ablations")
    assert min(seeds) >= max(entry.first_seed + entry.seeds for entry in ablations.order)
