"""The predictions in recipes/README.md are those of `rephrase-rl plan`, and fit their GPUs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import recipe_scripts

from rephrase_rl.assembly.plan_inputs import plan_run
from rephrase_rl.cli.main import main
from rephrase_rl.config import load_config
from rephrase_rl.methods import resolve_config
from rephrase_rl.planning.from_config import steps_of

recipe_plans = recipe_scripts.load("recipe_plans")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")


def block(family: str) -> str:
    return PAGE.split(f"<!-- plan {family} -->\n")[1].split(f"\n<!-- /plan {family} -->")[0]


@pytest.mark.parametrize("family", list(recipe_plans.PROBLEMS))
def test_the_page_has_what_is_predicted_now(family) -> None:
    assert block(family) == recipe_plans.prediction(family)


def test_the_page_of_adapters_has_what_is_predicted_now() -> None:
    about = recipe_plans.ADAPTERS.read_text(encoding="utf-8")
    assert recipe_plans.replaced(about, "adapters", recipe_plans.adapters()) == about


@pytest.mark.parametrize("family", list(recipe_plans.PROBLEMS))
def test_every_prediction_fits_the_gpu(family) -> None:
    rows = re.findall(r"^\| \w.*$", block(family), re.MULTILINE)[1:]
    assert len(rows) >= 2
    for row in rows:
        assert 20 < float(row.split(" | ")[7]) < 76


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*[478]b_*.yaml")), ids=lambda p: p.stem
)
def test_a_plan_and_a_dry_run_count_the_same_steps(path) -> None:
    config = load_config(path)
    plan = plan_run(config, ())
    assert (plan.setting.work.rows_per_step, plan.setting.work.problems) == (4096, 512)
    problems = 18_000
    counted = steps_of(resolve_config(config), plan.setting.work, problems)
    assert counted == recipe_plans.steps_of(config, problems)


def test_the_command_beside_a_table_prints_its_figures(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    (line,) = re.findall(r"^    rephrase-rl (plan .*)$", block("openr1_hard"), re.MULTILINE)
    assert main(shlex.split(line)) == 0
    printed = capsys.readouterr().out
    (row,) = re.findall(r"^\| openr1_hard_qwen2.5_math_7b_repo \| (.*?) \|", PAGE, re.MULTILINE)
    assert f"{row} a step" in printed
    assert "4096 rows (512 on each device), 512 problems x 8" in printed
