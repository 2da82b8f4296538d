"""Cells come by rank, wait for their sweep, and are run once."""

from __future__ import annotations

import pytest
import yaml

from rephrase_rl.config import load_study
from rephrase_rl.errors import ConfigError
from rephrase_rl.studies.cells import ANY, Cell, looks_at_expert, pretraining_seed_of
from rephrase_rl.studies.order import chosen_rate, progress, remaining
from study_fakes import PLAIN, swept, tiny_study

STUDY = tiny_study()


def first_sweep() -> list[Cell]:
    return list(remaining(STUDY, {}))[:2]


def test_an_arm_without_expert_has_one_run_for_both_distances() -> None:
    assert not looks_at_expert(STUDY, "grpo")
    assert all(looks_at_expert(STUDY, arm) for arm in ("sft", "repo", "sft_then_rl"))
    assert [(c.expert, c.rate) for c in first_sweep()] == [(ANY, 1e-4), (ANY, 2e-4)]


def test_cells_wait_for_the_sweep_and_starting_policies_do_not() -> None:
    arms = [cell.arm for cell in remaining(STUDY, {})]
    assert arms == ["grpo", "grpo", "base", "base", "base"]
    waiting = progress(STUDY, {})[1]
    assert (waiting.open, waiting.waiting) == (3, 8)


def test_the_selected_rate_is_used_once_the_sweep_is_finished() -> None:
    slow, fast = first_sweep()
    found = {slow.cell_id: swept(slow, 0.5), fast.cell_id: swept(fast, 0.9, kept=0.5)}
    assert chosen_rate(STUDY, "grpo", "mixed", "near", found) is None  # extended at both edges
    rates = {}
    while True:
        cell = next(iter(remaining(STUDY, found)))
        if not cell.sweep:
            break
        rates[cell.rate] = swept(cell, 0.1, kept=0.5)
        found[cell.cell_id] = rates[cell.rate]
    assert sorted(rates) == [5e-5, 4e-4]
    assert chosen_rate(STUDY, "grpo", "mixed", "near", found) == 1e-4
    assert chosen_rate(STUDY, "grpo", "mixed", "near", found, free=True) == 2e-4
    main = [cell for cell in remaining(STUDY, found) if cell.arm == "grpo"]
    assert [(cell.seed, cell.rate, cell.sweep) for cell in main] == [
        (seed, 1e-4, False) for seed in range(4)
    ]


def test_a_finished_cell_is_not_run_again() -> None:
    slow, fast = first_sweep()
    rest = list(remaining(STUDY, {slow.cell_id: swept(slow, 0.0)}))
    assert slow not in rest
    assert rest[0] == fast


def test_cells_whose_policy_is_there_come_first_within_an_entry() -> None:
    found = {cell.cell_id: swept(cell, 0.0) for cell in first_sweep()}
    seeds = [(c.arm, c.seed) for c in remaining(STUDY, found, lambda c: c.seed % 3 != 1)]
    assert seeds == [
        *(("base", 0), ("grpo", 0), ("base", 2), ("grpo", 2), ("grpo", 3)),
        *(("base", 1), ("grpo", 1)),
    ]


def test_seeds_go_round_the_starting_policies() -> None:
    assert [pretraining_seed_of(STUDY, seed) for seed in (0, 1, 2, 3, 60)] == [0, 1, 2, 0, 0]


def test_ids_tell_cells_apart() -> None:
    cells = list(remaining(STUDY, {}))
    cells += [Cell("repo", "mixed", "near", "good", 0, 1e-4)]
    cells += [Cell("repo", "mixed", "alien", "good", 0, 1e-4)]
    assert len({cell.cell_id for cell in cells}) == len(cells)
    assert cells[-1].cell_id == "mixed-alien-good-repo-lr1.00e-04-s0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": [{"kind": "main", "protocols": "x", "experts": "near", "arms": "grpo"}]}, "x"),
        ({"sweep": {"learning_rates": [2e-4, 1e-4], "seed": 1}}, "rising"),
        ({"validation": []}, "hard, easy and general"),
    ],
)
def test_a_study_that_does_not_fit_together_is_refused(tmp_path, changes, words) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**PLAIN, **changes}))
    with pytest.raises(ConfigError) as refusal:
        load_study(tmp_path / "study.yaml")
    assert words in str(refusal.value) or "validation" in str(refusal.value)
