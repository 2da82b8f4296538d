"""What docs/metrics.md says of the healthy run and the sick ones is what the card holds."""

from __future__ import annotations

import json
import runpy

import pytest

from pages import ROOT

CARD = json.loads((ROOT / "results/metric_curves/card.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
HEALTHY, GRPO, HOT, SHORT = CARD["runs"]


def curve(run: str, metric: str) -> list[float]:
    return CARD["runs"][run]["steps"][metric]


def test_the_card_names_what_made_it() -> None:
    assert CARD["command"] == "make metric-curves"
    assert not CARD["git"]["dirty"]
    script = runpy.run_path(str(ROOT / "scripts/metric_curves.py"))
    assert {name: tuple(run["changes"]) for name, run in CARD["runs"].items()} == script["RUNS"]


@pytest.mark.parametrize("run", CARD["runs"])
def test_page_and_picture_name_every_run(run) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {run} |"))
    for change in CARD["runs"][run]["changes"]:
        assert f"`{change}`" in row
    assert run in (ROOT / "docs/_static/curves.svg").read_text(encoding="utf-8")


def test_the_healthy_run_is_as_the_page_says() -> None:
    failed = curve(HEALTHY, "groups/all_failed_fraction")
    assert (failed[0], failed[-1]) == (0.5, 0.0)
    accepted = curve(HEALTHY, "injection/accept_fraction")
    there = [fraction for fraction in accepted if fraction is not None]
    assert set(there[:-1]) == {1.0}
    assert there[-1] == 0.0
    assert len(there) < len(accepted) / 2
    signal = curve(HEALTHY, "groups/no_signal_fraction")
    assert max(signal[:15]) < min(curve(GRPO, "groups/no_signal_fraction"))
    assert signal[-1] > signal[0]


def test_the_sick_runs_are_as_the_page_says() -> None:
    assert set(curve(GRPO, "groups/all_failed_fraction")) == {0.5}
    norms = curve(GRPO, "grad_norm")
    assert sum(norm == 0 for norm in norms) > len(norms) / 2
    assert set(curve(HOT, "injection/accept_fraction")[8:]) == {0.0}
    assert min(curve(HOT, "groups/all_failed_fraction")[8:]) > 0.5
    assert min(curve(SHORT, "completions/clipped_ratio")) > 0.7
    assert set(curve(SHORT, "injection/accept_fraction")) == {0.0}
