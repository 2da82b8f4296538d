"""Several runs side by side: outcomes, tests, budgets, differences, figures, links."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from arm_runs import arm_run, write_scores
from synthetic_run import CONFIG, MANIFEST, make_run, result

from rephrase_rl.errors import CheckpointError, EvaluationError
from rephrase_rl.reports import ComparisonQuestions, comparison_files, write_comparison
from rephrase_rl.reports.arms import group_into_arms, read_runs
from rephrase_rl.reports.bands import make_panels
from rephrase_rl.reports.comparison_figures import draw_curves, draw_panels, draw_trilemma
from rephrase_rl.reports.config_differences import config_differences, flatten
from rephrase_rl.reports.figures_style import DARK, darken
from rephrase_rl.reports.trilemma import Trilemma, make_trilemma
from rephrase_rl.runs import RunDirectory


@pytest.fixture
def no_figure(monkeypatch):
    """Drawing takes most of the time and is tested on its own."""
    monkeypatch.setattr(comparison_files, "draw_curves", lambda *_: "")
    monkeypatch.setattr(comparison_files, "draw_panels", lambda *_: [])
    monkeypatch.setattr(comparison_files, "draw_trilemma", lambda *_: "")


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


def write(runs, out, **questions) -> tuple[dict, str, str]:
    asked = ComparisonQuestions(**questions)
    paths = write_comparison([run.path for run in runs], out, asked)
    return (
        json.loads(paths.comparison_json.read_text()),
        paths.index.read_text(),
        paths.comparison_markdown.read_text(),
    )


@pytest.mark.usefixtures("no_figure")
def test_runs_without_any_evaluation_are_told_what_makes_one(tmp_path):
    runs = [
        RunDirectory.create(tmp_path / name, MANIFEST | {"method": name}, CONFIG)
        for name in ("grpo", "repo")
    ]
    data, page, markdown = write(runs, tmp_path / "out")
    assert data["warnings"][0].startswith("no run has an evaluation")
    for text in (page, markdown):
        assert "no run has an evaluation" in text
    runs[0].write_evaluation(4, "hard", result("hard", 0.0), [])
    assert "no run has" not in write(runs, tmp_path / "out")[1]


@pytest.mark.usefixtures("no_figure")
def test_outcomes_and_budgets_stand_side_by_side(runs, tmp_path):
    data, page, markdown = write(runs, tmp_path / "demo" / "report")

    assert [run["label"] for run in data["runs"]] == ["grpo", "repo"]
    hard = next(b for b in data["benchmarks"] if b["benchmark"] == "hard")
    assert [row["mean"] for row in hard["arms"]] == [0.0, 0.875]
    assert {row["over"] for row in hard["arms"]} == {"problems"}
    easy = next(b for b in data["benchmarks"] if b["benchmark"] == "easy")
    assert easy["arms"][0] is None
    grpo, repo = (run["budget"] for run in data["runs"])
    assert (grpo["wall_s"], grpo["tokens_training"], grpo["prompts"]) == (87.0, None, None)
    # Four rescued groups, four others and a refused one: nine problems, five expert texts.
    assert (repo["tokens_training"], repo["prompts"], repo["expert_texts"]) == (8660, 9, 5)
    for text in (page, markdown):
        assert "0.875 (0.825–0.925)" in text
        assert "not evaluated" in text
        assert "8,660" in text
        assert "1 min 27 s" in text
    assert "was 0.000 at the start" in page


@pytest.mark.usefixtures("no_figure")
def test_arms_are_means_over_seeds_with_tests_and_corrected_p_values(arm_runs, tmp_path):
    data, page, markdown = write(arm_runs, tmp_path / "out", threshold=0.5)

    assert [(a["label"], a["seeds"]) for a in data["arms"]] == [("grpo", [1, 2]), ("repo", [1, 2])]
    assert data["baseline"] == "grpo"
    hard = next(b for b in data["benchmarks"] if b["benchmark"] == "hard")
    # 0.25 and 0.5; t(1) = 12.706 times the standard error 0.125.
    grpo = hard["arms"][0]
    assert (grpo["over"], grpo["mean"]) == ("seeds", 0.375)
    assert grpo["high"] - grpo["mean"] == pytest.approx(12.706 * 0.125, rel=1e-3)
    assert hard["unlike"] == []  # seeds of sampling may differ
    assert {(t["benchmark"], t["test"]) for t in data["tests"]} == {("hard", "t"), ("general", "t")}
    assert len(data["trilemma"]["points"]) == 4
    assert data["arms"][1]["budget"]["wall_s"] == 9.5
    assert {t["unit"] for t in data["thresholds"]["by_arm"]} == {"steps", "tokens", "seconds"}
    for text in (page, markdown):
        for words in ("Tests against grpo", "too few for a bootstrap", "Time to 0.5 on hard"):
            assert words in text


@pytest.fixture
def arm_runs(tmp_path):
    return [
        arm_run(tmp_path / "g1", "grpo", 1, hard=[0.5, 0.0]),
        arm_run(tmp_path / "g2", "grpo", 2, hard=[0.5, 0.5]),
        arm_run(tmp_path / "r1", "repo", 1, hard=[1.0, 1.0]),
        arm_run(tmp_path / "r2", "repo", 2, hard=[1.0, 0.5]),
    ]


@pytest.mark.usefixtures("no_figure")
def test_questions_that_the_runs_cannot_answer_are_refused(arm_runs, tmp_path):
    for questions, error in (
        ({"baseline": "ppo"}, CheckpointError),
        ({"hard": ("mmlu",)}, EvaluationError),
        ({"threshold": float("inf")}, EvaluationError),
    ):
        with pytest.raises((CheckpointError, EvaluationError), match="--") as raised:
            write(arm_runs, tmp_path / "out", **questions)
        assert raised.type is error


@pytest.mark.usefixtures("no_figure")
def test_differences_of_configuration_and_circumstances_are_listed(runs, tmp_path):
    data, page, markdown = write(runs, tmp_path / "out")

    assert data["config_differences"] == [
        {"name": "method", "values": ["grpo", "repo"]},
        {"name": "trainer.learning_rate", "values": ["0.0001", "0.0002"]},
    ]
    assert data["manifest_differences"] == [{"name": "seed", "values": ["4", "3"]}]
    assert data["arms"][0]["seeds"] == [4]
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
    changed = result("hard", 0.0, protocol={**result("hard", 0.0)["protocol"], "temperature": 0.6})
    runs[0].write_evaluation(4, "hard", changed, [])

    data, page, markdown = write(runs, tmp_path / "out")

    hard = next(b for b in data["benchmarks"] if b["benchmark"] == "hard")
    assert hard["unlike"] == ["protocol.temperature"]
    (test,) = [t for t in data["tests"] if t["benchmark"] == "hard"]
    assert (test["p_value"], test["note"]) == (None, "not the same protocol: protocol.temperature")
    assert "do not measure the same thing" in page
    assert "**not the same protocol**" in markdown


@pytest.mark.usefixtures("no_figure")
def test_hostile_names_are_escaped(runs, tmp_path):
    runs[0].update_manifest({"seed": "<script>x</script>|"})

    _, page, markdown = write(runs, tmp_path / "out")

    assert "<script" not in page
    assert "<script" not in markdown


def test_the_page_asks_nothing_of_anybody(arm_runs, tmp_path):
    _, page, _ = write(arm_runs, tmp_path / "out")

    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert page.count('<img src="data:image/svg+xml;base64,') == 1 + 3 * 3
    assert {path.name for path in (tmp_path / "out").glob("*.svg")} == {
        "curves.svg",
        "curves-dark.svg",
        "trilemma.svg",
        "trilemma-dark.svg",
    }
    loaded = re.findall(r'(?:src|srcset)="([^"]{5})', page)
    assert set(loaded) == {"data:"}


def test_figures_are_the_same_every_time_and_have_dark_twins(arm_runs):
    arms = group_into_arms(read_runs([run.path for run in arm_runs]))
    panels, names = make_panels(arms)[:2], ["grpo", "repo"]
    trilemma = make_trilemma(arms, (), ())

    assert draw_panels(panels, names) == draw_panels(panels, names)
    for svg in (draw_curves(panels, names), draw_trilemma(trilemma, names)):
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= set(DARK)
        assert not set(re.findall(r"#[0-9a-f]{6}\b", darken(svg))) & set(DARK)
    assert draw_curves([], names) == ""
    assert draw_trilemma(Trilemma(("hard",), ("general",), (), ()), names) == ""


@pytest.mark.usefixtures("no_figure")
def test_figures_of_an_earlier_comparison_go(arm_runs, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trilemma.svg").write_text("old")
    write(arm_runs, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.svg")) == []


@pytest.mark.usefixtures("no_figure")
def test_an_evaluation_in_which_nothing_could_be_scored_is_shown_as_that(arm_runs, tmp_path):
    write_scores(arm_runs[0], 4, "hard", [0.5, 0.0], 1, avg_at_k=result("hard", None)["avg_at_k"])
    _, page, markdown = write(arm_runs, tmp_path / "out")
    assert "nothing could be scored" in page
    assert "nothing could be scored" in markdown


def test_absent_entries_and_null_are_told_apart():
    found = config_differences([{"a": None, "b": {"c": 1}}, {"b": {"c": 1}}])

    assert [tuple(entry) for entry in found] == [("a", ("null", "not set"))]
    assert flatten({}) == {}


def test_small_differences_of_numbers_are_not_rounded_away():
    (entry,) = config_differences([{"lr": 0.12345678}, {"lr": 0.12345679}])

    assert entry.values == ("0.12345678", "0.12345679")
