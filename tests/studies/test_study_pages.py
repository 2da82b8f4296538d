"""The card tells every finished cell, and says what was not run."""

from __future__ import annotations

import json
import re

from rephrase_rl.reports.figures_style import SERIES
from rephrase_rl.reports.scatter import Panel, Points, draw_panels
from rephrase_rl.studies import figures
from rephrase_rl.studies.analysis import analyse, card_json, card_lines
from rephrase_rl.studies.cells import ANY, Cell, base_cell
from rephrase_rl.studies.order import remaining
from rephrase_rl.studies.outcomes import runs_of
from rephrase_rl.studies.pages import by_policy_table, headline_table, lost_table, overview_table
from rephrase_rl.studies.tables import ARMS, condition_tables
from rephrase_rl.studies.verdicts import Condition
from study_fakes import digits_of, finished, swept, tiny_study

ORDER = [
    {"kind": "sweep", "protocols": "mixed", "experts": "alien", "arms": ["grpo", "repo"]},
    {
        "kind": "main",
        "protocols": ["mixed", "hard"],
        "experts": "alien",
        "arms": ["grpo", "repo"],
        "seeds": 3,
    },
]
STUDY = tiny_study(order=ORDER)


def summaries() -> dict[str, dict]:
    found = {}
    for cell in remaining(STUDY, {}):
        hard = {1e-4: 0.5, 2e-4: 0.9}[cell.rate] if cell.arm == "repo" else 0.0
        found[cell.cell_id] = swept(cell, hard, kept=1.0 if cell.rate == 1e-4 else 0.98)
    for cell in remaining(STUDY, found):  # the sweep of repo goes on above its best
        found[cell.cell_id] = swept(cell, 0.1, kept=0.2)
    for seed in range(3):
        for cell, hard in (
            (base_cell("good", seed), 0.0),
            (Cell("grpo", "mixed", ANY, "good", seed, 1e-4), 0.0),
            (Cell("repo", "mixed", "alien", "good", seed, 2e-4), 0.9),
        ):
            found[cell.cell_id] = finished(cell, hard)
    return found


def test_the_card_has_verdicts_tables_rates_and_what_is_missing() -> None:
    found = summaries()
    analysis = analyse(STUDY, found)
    text = "\n".join(card_lines(STUDY, found, analysis))
    held = "too few runs in 1 of 2 conditions, not run in 1"
    assert f"| On-policy RL cannot use hard samples | {held} |" in text
    assert "| Off-policy RL is unstable | not run in 2 of 2 conditions |" in text
    assert "hard, alien expert, good rewriter" in text.split("not begun")[1].splitlines()[0]
    assert "| repo | 3 | 0.900 [" in text
    assert "| mixed, alien | repo |" in text
    assert "2.0e-04 | 2.0e-04 |" in text
    assert "weights-good-0" in text


def test_a_run_at_another_rate_than_the_selected_one_does_not_count() -> None:
    found = summaries()
    stray = Cell("repo", "mixed", "alien", "good", 4, 1e-4)
    found[stray.cell_id] = finished(stray, 0.1)
    assert len([r for r in analyse(STUDY, found).main if r.cell["arm"] == "repo"]) == 3


def test_the_card_as_data_is_plain_json() -> None:
    found = summaries()
    data = card_json(STUDY, found, analyse(STUDY, found))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert [claim["verdict"] for claim in data["claims"]][2] == "not run in 2 of 2 conditions"
    assert data["conditions"][0]["equal_prompts"][-1]["hard"]["difference"] == 0.9


def test_pictures_are_the_same_each_time_and_none_without_runs() -> None:
    found = summaries()
    analysis = analyse(STUDY, found)
    for draw in (
        lambda: figures.trilemma(analysis),
        lambda: figures.learning_curves(analysis),
        lambda: figures.rates_front(STUDY, found),
    ):
        svg = draw()
        assert svg.startswith("<?xml")
        assert svg == draw()
    empty = analyse(STUDY, {})
    assert figures.trilemma(empty) is None
    assert figures.rates_front(STUDY, {}) is None


def test_an_arm_looks_the_same_whatever_stands_beside_it() -> None:
    point = ((0.5,), (0.5,))

    def drawn(*names: str) -> str:
        panels = [Panel("p", tuple(Points(name, *point) for name in names))]
        return draw_panels(panels, "x", "y", joined=False, ranked=figures.RANKED)

    assert sorted(figures.RANKED) == sorted(ARMS)
    colours = {arm: set(re.findall("#[0-9a-f]{6}", drawn(arm))) & {*SERIES} for arm in ARMS}
    assert all(len(of_arm) == 1 for of_arm in colours.values())
    assert colours["repo"] == colours["guide"] != colours["sft"]
    together = set(re.findall("#[0-9a-f]{6}", drawn("sft", "luffy"))) & {*SERIES}
    assert together == colours["sft"] | colours["luffy"]


def test_the_overview_has_every_arm_in_every_condition_that_was_run() -> None:
    analysis = analyse(STUDY, summaries())
    mixed, hard = analysis.conditions
    only_repo = [run for run in analysis.of(mixed) if run.cell["arm"] == "repo"]
    lines = overview_table({**analysis.tables, hard: condition_tables(only_repo)})
    assert lines[0] == "| arm | mixed, alien expert | hard, alien expert |"
    base, grpo, repo = (line.strip("| ").split(" | ") for line in lines[2:])
    assert base[:2] == ["`base`", "**0.000**"]
    assert grpo[0] == "`grpo`"
    assert "lost" in grpo[1]
    assert len(grpo) == 2  # not run in the other condition
    assert repo[0] == "`repo`"
    assert repo[1].startswith("**0.900 [")
    assert "lost" in repo[2]


def test_levels_stand_by_starting_policy() -> None:
    analysis = analyse(STUDY, summaries())
    mixed, hard = analysis.conditions
    one = [run for run in analysis.of(mixed) if run.cell["arm"] == "repo"][:1]
    lines = by_policy_table({mixed: analysis.of(mixed), hard: one})
    assert lines[0] == "| arm | mixed, alien, good | hard, alien, good |"
    assert lines[2:] == ["| `grpo` | 0.00 0.00 0.00 |  |", "| `repo` | 0.90 0.90 0.90 | 0.90 |"]


def test_losses_are_told_apart_by_what_was_lost() -> None:
    mixed = Condition("mixed", "alien", "good")
    forgets = finished(Cell("sft", "mixed", "alien", "good", 0, 1e-4))
    forgets["test"]["40"]["easy"]["chain"] = "1" * 30 + "0" * 10
    keeps = finished(Cell("repo", "mixed", "alien", "good", 0, 1e-4))
    runs = runs_of([finished(base_cell("good", 0)), forgets, keeps])
    head, _, row = lost_table({mixed: runs}, ("sft", "repo"))
    assert head.startswith("| condition | `sft`: easy problems | `sft`: abilities |")
    assert row == f"| {mixed.name} | 0.250 | 0.000 | 0.000 | 0.000 |"
    assert lost_table({mixed: runs[:1]}, ("sft", "repo"))[2:] == []


def test_what_was_lost_is_told_of_the_same_step_as_the_level() -> None:
    two = {"20": digits_of(0.2, 0.5), "40": digits_of(0.4, 1.0)}
    cell = Cell("sft_then_rl", "mixed", "alien", "good", 0, 1e-4)
    runs = runs_of([finished(base_cell("good", 0)), finished(cell, test=two, first_steps=20)])
    tables = condition_tables(runs)
    (row,) = [line for line in headline_table(tables) if line.startswith("| sft_then_rl")]
    assert row == "| sft_then_rl | 1 | 0.200 | 0.500 | 2,000 | 10 |"
    assert tables.equal_tokens[-1].lost.difference == 0.0


def test_a_threshold_that_few_runs_reach_has_no_median() -> None:
    cells = [Cell("repo", "mixed", "alien", "good", seed, 1e-4) for seed in range(3)]
    rows = [finished(base_cell("good", seed)) for seed in range(3)]
    rows += [finished(c, hard) for c, hard in zip(cells, (0.9, 0.5, 0.0), strict=True)]
    ((did,),) = (condition_tables(runs_of(rows)).behaviour,)
    assert did.reached[0.30].runs == 2
    assert did.reached[0.30].tokens == 4000
    assert did.reached[0.60] == (1, None, None)
