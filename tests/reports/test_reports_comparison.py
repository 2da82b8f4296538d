"""Several runs side by side: outcomes, budgets, differences, links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from synthetic_run import CONFIG, MANIFEST, make_run, result

from rephrase_rl.errors import CheckpointError
from rephrase_rl.records import StepRecord
from rephrase_rl.reports import comparison, write_comparison
from rephrase_rl.reports.config_differences import config_differences, flatten
from rephrase_rl.reports.curves import Figure, Track, draw_comparison
from rephrase_rl.reports.evaluations import read_evaluations
from rephrase_rl.runs import RunDirectory


@pytest.fixture
def no_figure(monkeypatch):
    monkeypatch.setattr(comparison, "draw_comparison", lambda _: Figure("", (), ()))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunDirectory, RunDirectory]:
    grpo = RunDirectory.create(
        tmp_path / "demo" / "grpo",
        MANIFEST | {"method": "grpo", "seed": 4},
        CONFIG.replace("repo", "grpo").replace("0.0002", "0.0001"),
    )
    grpo.write_evaluation(4, "hard", result("hard", 0.0), [])
    grpo.write_summary({"wall_s": 87.0})
    return grpo, make_run(tmp_path / "demo" / "repo")


def write(runs, out) -> tuple[dict, str, str]:
    paths = write_comparison([run.path for run in runs], out)
    return (
        json.loads(paths.comparison_json.read_text()),
        paths.index.read_text(),
        paths.comparison_markdown.read_text(),
    )


@pytest.mark.usefixtures("no_figure")
def test_outcomes_and_budgets_stand_side_by_side(runs, tmp_path):
    data, page, markdown = write(runs, tmp_path / "demo" / "report")

    assert [run["label"] for run in data["runs"]] == ["grpo", "repo"]
    hard = next(b for b in data["benchmarks"] if b["benchmark"] == "hard")
    assert [row["avg_at_k"]["mean"] for row in hard["last"]] == [0.0, 0.875]
    easy = next(b for b in data["benchmarks"] if b["benchmark"] == "easy")
    assert easy["last"][0] is None
    assert data["runs"][0]["budget"]["wall_s"] == 87.0
    assert data["runs"][0]["budget"]["training_tokens"] is None
    assert data["runs"][1]["budget"]["training_tokens"] == 8660
    for text in (page, markdown):
        assert "0.875 (0.825–0.925)" in text
        assert "not evaluated" in text
        assert "8,660" in text
        assert "1 min 27 s" in text
    assert "was 0.000 at step 0" in page


@pytest.mark.usefixtures("no_figure")
def test_differences_of_configuration_and_circumstances_are_listed(runs, tmp_path):
    data, page, markdown = write(runs, tmp_path / "out")

    assert data["config_differences"] == [
        {"name": "method", "values": ["grpo", "repo"]},
        {"name": "trainer.learning_rate", "values": ["0.0001", "0.0002"]},
    ]
    assert data["manifest_differences"] == [{"name": "seed", "values": ["4", "3"]}]
    assert "trainer.learning_rate" in page
    assert r"trainer.learning\_rate" in markdown


@pytest.mark.usefixtures("no_figure")
def test_each_run_s_report_is_linked_by_a_relative_path(runs, tmp_path):
    (runs[1].report).mkdir()
    (runs[1].report / "index.html").write_text("x")
    out = tmp_path / "demo" / "report"

    data, page, _ = write(runs, out)

    assert data["runs"][0]["report"] is None
    assert data["runs"][1]["report"] == "../repo/report/index.html"
    assert (out / data["runs"][1]["report"]).read_text() == "x"
    assert 'href="../repo/report/index.html"' in page
    assert "none yet" in page
    assert str(tmp_path) not in page


@pytest.mark.usefixtures("no_figure")
def test_unlike_protocols_are_called_out(runs, tmp_path):
    changed = result("hard", 0.0, protocol={"name": "hard", "temperature": 0.6})
    runs[0].write_evaluation(4, "hard", changed, [])

    data, page, markdown = write(runs, tmp_path / "out")

    hard = next(b for b in data["benchmarks"] if b["benchmark"] == "hard")
    assert hard["unlike"] == ["protocol"]
    assert "do not measure the same thing" in page
    assert "NOT the same protocol" in markdown


@pytest.mark.usefixtures("no_figure")
def test_hostile_names_are_escaped(runs, tmp_path):
    runs[0].update_manifest({"seed": "<script>x</script>|"})

    _, page, markdown = write(runs, tmp_path / "out")

    assert "<script" not in page
    assert "<script" not in markdown


def test_the_page_asks_nothing_of_anybody(runs, tmp_path):
    _, page, _ = write(runs, tmp_path / "out")

    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert '<img src="data:image/svg+xml;base64,' in page
    assert (tmp_path / "out" / "curves.svg").is_file()
    loaded = re.findall(r'(?:src|srcset)="([^"]{5})', page)
    assert set(loaded) == {"data:"}


def test_curves_are_the_same_every_time_and_name_what_is_missing(runs):
    tracks = [
        Track(
            run.path.name,
            [StepRecord(s.step, {"reward": s.metrics["reward"]}) for s in run.steps()],
            [row for row in read_evaluations(run) if row.benchmark == "hard"],
        )
        for run in runs
    ]

    figure = draw_comparison(tracks)

    assert figure == draw_comparison(tracks)
    assert figure.shown == ("Evaluation: hard", "Reward")
    assert figure.left_out == ("Groups in which all failed", "Rescued groups")
    bare = [Track("a", [], []), Track("b", [], [])]
    assert draw_comparison(bare).svg == ""


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", "a/../a"]])
def test_fewer_than_two_different_runs_are_refused(tmp_path, names):
    with pytest.raises(CheckpointError, match="at least two different run directories"):
        write_comparison([tmp_path / name for name in names], tmp_path / "out")


def test_labels_tell_runs_apart():
    paths = [Path("/x/seed1/repo"), Path("/x/seed2/repo"), Path("/x/seed1/grpo")]

    assert comparison.label_runs(paths) == ["seed1/repo", "seed2/repo", "seed1/grpo"]


def test_absent_entries_and_null_are_told_apart():
    found = config_differences([{"a": None, "b": {"c": 1}}, {"b": {"c": 1}}])

    assert [tuple(entry) for entry in found] == [("a", ("null", "not set"))]
    assert flatten({}) == {}


def test_small_differences_of_numbers_are_not_rounded_away():
    (entry,) = config_differences([{"lr": 0.12345678}, {"lr": 0.12345679}])

    assert entry.values == ("0.12345678", "0.12345679")
