"""The figure of a mining job."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports import write_pass_rate_figure
from rephrase_rl.reports.figures_style import SERIES
from rephrase_rl.reports.pass_rates import draw_pass_rates
from rephrase_rl.statistics import pass_rate_histogram


@pytest.fixture
def folder(tmp_path):
    rates = [0.0, 0.0, 0.25, 1.0, None]
    lines = "".join(json.dumps({"pass_rate": rate}) + "\n" for rate in rates)
    (tmp_path / "problems.jsonl").write_text(lines)
    summary = {"samples_per_problem": 4, "low": 0.0, "high": 0.25}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def test_the_figure_shows_what_was_mined(folder) -> None:
    path = write_pass_rate_figure(folder)
    svg = path.read_text()
    ElementTree.fromstring(svg)  # noqa: S314  (just drawn)
    bins = pass_rate_histogram([0.0, 0.0, 0.25, 1.0, float("nan")], 4)
    assert svg == draw_pass_rates(bins, (0.0, 0.25))
    assert svg != draw_pass_rates(bins, (0.5, 1.0))
    assert svg != draw_pass_rates(pass_rate_histogram([0.0, 0.25, 1.0], 4), (0.0, 0.25))


def test_bars_in_the_range_are_told_from_the_others() -> None:
    bins = pass_rate_histogram([0.0, 0.25, 0.5, 0.75, 1.0], 4)
    # One bar of the range 0 to 0.25 more than of 0 to 0, one of the others fewer.
    narrow, wide = (draw_pass_rates(bins, (0.0, high)) for high in (0.0, 0.25))
    assert wide.count(f"fill: {SERIES[0]}") == narrow.count(f"fill: {SERIES[0]}") + 1
    assert wide.count(f"fill: {SERIES[5]}") == narrow.count(f"fill: {SERIES[5]}") - 1


def test_an_unfinished_job_has_no_figure(folder) -> None:
    (folder / "summary.json").unlink()
    with pytest.raises(CheckpointError, match=r"summary\.json"):
        write_pass_rate_figure(folder)
