"""The recorded check: predictions within 15 % on settings that nothing was fitted to; the docs name
those that are further off."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from rephrase_rl.planning.measured import SHIPPED, read_constants

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "plan_check"
if not (RESULTS / "check.json").is_file():
    pytest.skip("no check is recorded: benchmarks/plan_check.py", allow_module_level=True)
CHECK = json.loads((RESULTS / "check.json").read_text(encoding="utf-8"))
BY_NAME = {row["name"]: row for row in CHECK["comparisons"]}
UNFITTED = [name for name, row in BY_NAME.items() if not row["fitted"]]
LIMIT = 0.15


@pytest.fixture(scope="module")
def plan_check():
    """The benchmark as a module."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("plan_check")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_six_settings_three_of_which_nothing_was_fitted_to() -> None:
    assert len(BY_NAME) >= 6
    assert len(UNFITTED) >= 3
    fitted = [name for name, row in BY_NAME.items() if row["fitted"]]
    constants = read_constants(SHIPPED / CHECK["constants"])
    assert constants["trainer_fitted_to"] == fitted
    assert constants["trainer"] == CHECK["trainer"]


def test_at_least_three_unfitted_settings_are_predicted_and_misses_are_named() -> None:
    for name in UNFITTED:
        row = BY_NAME[name]
        assert row["error"] == pytest.approx(row["predicted_s"] / row["measured_s"] - 1.0)
    missed = [name for name in UNFITTED if abs(BY_NAME[name]["error"]) > LIMIT]
    assert len(UNFITTED) - len(missed) >= 3
    page = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")
    said = page.split("<!-- /plan-check -->")[1]
    assert all(f"`{name}`" in said for name in missed)


@pytest.mark.parametrize("name", BY_NAME)
def test_figures_are_those_of_the_present_formulas_and_of_the_record(name, plan_check) -> None:
    record = {"name": name, **json.loads((RESULTS / f"{name}.json").read_text())}
    again = plan_check.compare(record, read_constants(SHIPPED / CHECK["constants"]))
    assert again["predicted_s"] == pytest.approx(BY_NAME[name]["predicted_s"], rel=1e-6)
    assert BY_NAME[name]["measured_s"] == record["step_s"]
    assert not record["about"]["git"]["dirty"]
    assert record["about"]["hardware"]["cpu"] == CHECK["about"]["hardware"]["cpu"]


def test_docs_quote_the_check(plan_check) -> None:
    page = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")
    quoted = page.split("<!-- plan-check -->\n")[1].split("\n<!-- /plan-check -->")[0]
    assert plan_check.table(CHECK["comparisons"]) in quoted
