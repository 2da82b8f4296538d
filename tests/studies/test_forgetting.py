"""What is forgotten is told by level, from the digits of summaries."""

from __future__ import annotations

import numpy as np
import pytest

from rephrase_rl.studies.cells import Cell, base_cell
from rephrase_rl.studies.data import training_problems
from rephrase_rl.studies.forgetting import answers_too_long, easy_levels_of, forgetting_table
from rephrase_rl.studies.outcomes import runs_of
from study_fakes import digits_of, finished, tiny_study

STUDY = tiny_study(
    baseline="repo",
    sweep=None,
    protocols={
        "mixed": {"hard": 0.5, "easy": 0.25},
        "hard": {"hard": 1.0},
        "with_level_4": {"hard": 0.75, "easy": 0.25, "easy_levels": [4], "against": "hard"},
    },
    arms={"repo": {"method": "repo", "rate": 1e-4}},
    order=[{"kind": "main", "protocols": "hard", "experts": "alien", "arms": ["repo"], "seeds": 2}],
    test=[
        {
            "name": name,
            "data": {"path": f"lab:{name}", "limit": 40},
            "samples_per_problem": 4 if name == "hard" else 1,
        }
        for name in ("hard", "easy", "general")
    ],
)


def test_accuracy_is_told_by_level_of_the_problem() -> None:
    levels = easy_levels_of(STUDY)
    assert sorted(set(levels)) == [3, 4]
    rows = [finished(base_cell("good", 0))]
    rows[0]["test"]["0"] = digits_of(0.0, 1.0)
    for seed, protocol, right in ((0, "hard", (3,)), (3, "hard", ()), (0, "mixed", (3, 4))):
        cell = Cell("repo", protocol, "alien", "good", seed, 1e-4)
        row = finished(cell, 0.5)
        digits = "".join("1" if level in right else "0" for level in levels)
        row["test"]["40"]["easy"] = {"chain": digits, "samples": 1}
        rows.append(row)
    head, _, before, hard = forgetting_table(STUDY, runs_of(rows))
    assert head == "| batches | runs | level 3 | level 4 | abilities | hard |"
    assert before == "| before training |  | 1.000 | 1.000 | 1.000 | 0.000 |"
    assert hard.startswith("| `hard` | 2 | 0.500 [")
    assert "| 0.000 [0.000, 0.000] | 1.000 [" in hard  # mixed batches hold abilities: not told


@pytest.mark.parametrize(
    ("text", "too_long"),
    [
        ("7+5=2-3=9#29", False),
        ("7+5=2-3=9#299", True),
        ("7+5=2-3=9#2", False),
        ("7+5=3-3=0#300", False),
        ("", False),
    ],
)
def test_a_right_solution_that_goes_on_is_told_from_other_failures(text, too_long) -> None:
    assert answers_too_long("7+5-3=", text) is too_long


def test_a_share_of_one_level_alone_can_be_asked_for() -> None:
    problems = training_problems(STUDY.protocols["with_level_4"], 16, 0, "alien", "hard")
    assert sorted(np.unique([p.metadata["level"] for p in problems])) == [4, 6]
    assert sum(p.metadata["level"] == 4 for p in problems) == 4
