"""The report of a run: golden card, pages that are whole, escaped and ask nothing of anybody."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_run import BIDI, CONFIG, LONG, MANIFEST, SCRIPT, hostile, make_run
from viewer_page import read_page

import rephrase_rl
from rephrase_rl.records import StepRecord
from rephrase_rl.reports import ReportPaths, pages, report, write_report
from rephrase_rl.reports.curves import draw_run
from rephrase_rl.reports.figures_style import DARK, darken
from rephrase_rl.runs import RunDirectory

GOLDEN = Path(__file__).parent / "golden"
VOID = {"meta", "link", "img", "input", "br", "source"}


class Page(HTMLParser):
    """Checks that tags are balanced and collects what a browser would load, follow or show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def addresses(self) -> list[str]:
        loading = {"src", "srcset", "href", "action", "poster", "data"}
        return [value for name, value in self.attributes if name in loading]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> ReportPaths:
    run = make_run(tmp_path_factory.mktemp("runs") / "repo")
    run.append_groups([hostile(3)])
    return write_report(run.path)


@pytest.fixture(scope="module")
def divided(made, tmp_path_factory) -> Path:
    """The same run on two pages; its report folder."""
    copy = tmp_path_factory.mktemp("divided") / "repo"
    shutil.copytree(made.index.parent.parent, copy)
    return write_report(copy, groups_per_page=6).index.parent


@pytest.fixture
def no_figure(monkeypatch):
    """Drawing takes most of the time and is tested on its own."""
    figure = draw_run([], [])
    monkeypatch.setattr(report, "draw_run", lambda *_: figure)


def test_the_report_lies_in_the_run(made):
    assert made.index.parent.name == "report"
    assert {path.name for path in made.index.parent.iterdir()} == {
        "index.html",
        "card.md",
        "card.json",
        "model_card.md",
        "curves.svg",
        "curves-dark.svg",
    }


@pytest.mark.usefixtures("no_figure")
def test_the_card_is_the_golden_one(tmp_path):
    """Recorded from ``make_run`` and read through by a person; rerun with RECORD_GOLDEN=1."""
    paths = write_report(make_run(tmp_path / "repo").path)

    for path in (paths.card_markdown, paths.card_json):
        if os.environ.get("RECORD_GOLDEN"):
            GOLDEN.mkdir(exist_ok=True)
            shutil.copy(path, GOLDEN / path.name)
        assert path.read_text() == (GOLDEN / path.name).read_text()


def test_the_card_has_what_reproduction_needs(made):
    card = json.loads(made.card_json.read_text())

    assert card["command"] == MANIFEST["command"]
    assert card["code"] == MANIFEST["git"]
    assert card["versions"] == MANIFEST["versions"]
    assert card["config"]["yaml"] == CONFIG
    # sha256sum of CONFIG
    assert card["config"]["sha256"].startswith("99b562daaa6c55e2")
    assert card["data"] == MANIFEST["data"]
    assert card["templates"] == MANIFEST["templates"]
    assert card["seeds"] == {"run": 3}
    assert card["hardware"] == MANIFEST["hardware"]
    assert card["deviations"] == MANIFEST["deviations"]
    assert card["cost"]["wall_s"] == 238.4
    # Steps 0 to 3: 2000 + 10 s rollout tokens, 300 (1 - s/3) rewrite tokens.
    assert card["cost"]["tokens_rollouts"]["tokens"] == 8060
    assert card["cost"]["tokens_rephrases"]["tokens"] == 600
    assert card["cost"]["tokens_evaluation"] == 4 * 12345
    hard = next(row for row in card["evaluations"] if row["benchmark"] == "hard")
    assert (hard["step"], hard["avg_at_k"]["mean"]) == (4, 0.875)
    assert hard["unscorable"] == {"unscorable": 1, "timeout": 1, "error": 0}
    assert hard["truncated"] == 0.00625
    assert hard["protocol"]["verifier"] == "exact"


@pytest.mark.parametrize("name", ["index.html", "groups-2.html"])
def test_a_page_asks_nothing_of_anybody(divided, name):
    text = (divided / name).read_text()
    page = Page(text)

    # Its own two, which the policy names by their hash, and two blocks of data.
    assert page.tags.count("script") == 4
    assert not {"iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for address in page.addresses():
        assert address.startswith(("data:", "#")) or re.fullmatch(
            r"[a-z0-9.-]+(#[a-z0-9]+)?", address
        )
    assert "default-src 'none'" in text
    assert not re.search(r"(?:@import|url\()", text)
    # Nowhere in the page, whatever a browser might do with it, but the name of SVG.
    assert set(re.findall(r"https?:[^'\"]*", text)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", ["index.html", "groups-2.html"])
def test_every_link_leads_somewhere(divided, name):
    folder = divided
    page = Page((folder / name).read_text())

    for address in page.addresses():
        if address.startswith("data:"):
            continue
        file, _, anchor = address.partition("?")[0].partition("#")
        target = folder / (file or name)
        assert target.is_file(), address
        if anchor:
            assert anchor in Page(target.read_text()).ids, address
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("name", ["index.html", "groups-2.html"])
def test_a_page_can_be_read_by_everyone(divided, name):
    text = (divided / name).read_text()
    page = Page(text)

    assert '<html lang="en">' in text
    assert page.tags.count("h1") == 1
    assert page.tags.count("main") == 1
    assert page.tags.count("img") == sum(1 for key, value in page.attributes if key == "alt")
    assert "color-scheme: light dark" in text
    assert page.tags.count("th") == sum(1 for key, _ in page.attributes if key == "scope")


def test_texts_are_in_the_page_whole(made):
    page = read_page(made.index)

    group = page.groups[-1]
    assert page.texts[page.rows[-1]["text"]]["question"] == SCRIPT
    assert page.texts[page.rows[-1]["text"]]["expert"] == BIDI
    assert len(LONG) > 100_000
    assert group["replaced"]["text"] == group["members"][2]["text"] == LONG
    assert group["members"][0]["text"] == "\n\n</pre></details><script>x</script>"


def test_an_empty_run_has_a_report(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {}, "a: 1\n")

    paths = write_report(run.path)

    text = Page(paths.index.read_text()).text
    assert paths.curves is None
    for words in (
        "No evaluation has been recorded",
        "No groups have been recorded",
        "not recorded",
    ):
        assert words in text
    assert "it is still going on or was stopped" in text
    assert "not recorded" in paths.card_markdown.read_text()


@pytest.mark.usefixtures("no_figure")
def test_a_killed_run_has_a_report(tmp_path):
    run = make_run(tmp_path / "run", summary=False)
    for name in ("steps", "groups", "timings"):
        with (run.path / f"{name}.jsonl").open("ab") as file:
            file.write(b'{"step": 4, "met')

    card = json.loads(write_report(run.path).card_json.read_text())

    assert card["cost"]["steps"] == 4
    assert card["groups"]["groups"] == 9
    assert card["cost"]["wall_s"] == 6.0
    assert card["finished"] is False


def test_the_same_run_gives_the_same_bytes(made, tmp_path):
    copy = tmp_path / "repo"
    shutil.copytree(made.index.parent.parent, copy)
    shutil.rmtree(copy / "report")

    again = write_report(copy)

    for old in made.index.parent.iterdir():
        assert (again.index.parent / old.name).read_bytes() == old.read_bytes(), old.name


def test_a_copied_run_is_reported_without_torch(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made.index.parent.parent, copy)
    shutil.rmtree(copy / "report")
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'trl', 'datasets', 'accelerate'):\n"
        "    sys.modules[name] = None\n"
        "from rephrase_rl.reports import write_report\n"
        f"print(write_report({str(copy)!r}).index)\n"
    )
    source = str(Path(rephrase_rl.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()


# ------------------------------------------------------------------ figures


def test_the_figure_has_no_date_no_version_and_no_address(made):
    svg = made.curves.read_text()

    assert "<!DOCTYPE" not in svg
    assert "<metadata>" not in svg
    assert "Matplotlib v" not in svg
    assert set(re.findall(r"https?://[^\"' ]+", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_dark_figure_is_the_light_one_in_other_colours(made):
    light = made.curves.read_text()
    dark = (made.curves.parent / "curves-dark.svg").read_text()

    assert dark == darken(light)
    # Every colour of the figure has a dark counterpart.
    assert set(re.findall(r"#[0-9a-f]{6}\b", light)) <= set(DARK)
    assert not set(re.findall(r"#[0-9a-f]{6}\b", dark)) & set(DARK)


def test_panels_without_figures_are_named():
    steps = [StepRecord(0, {"loss": 0.5, "reward": None}), StepRecord(1, {"loss": None})]

    figure = draw_run(steps, [])

    assert figure.shown == ("Loss",)
    assert "Reward" in figure.left_out
    assert "Evaluation" in figure.left_out
    assert draw_run([], []).svg == ""


def test_the_curves_of_a_long_run_stay_small():
    def size(num_steps: int) -> int:
        values = [{"reward": math.sin(step * step)} for step in range(num_steps)]
        return len(draw_run([StepRecord(i, row) for i, row in enumerate(values)], []).svg)

    assert size(6000) < 1.2 * size(3000)


def test_settings_of_the_user_do_not_reach_the_figure(made):
    import matplotlib

    steps = [StepRecord(0, {"loss": 0.5})]
    expected = draw_run(steps, []).svg
    with matplotlib.rc_context(
        {"lines.linewidth": 9.0, "axes.titlesize": 40, "svg.hashsalt": None}
    ):
        assert draw_run(steps, []).svg == expected


# ------------------------------------------------------------------ Markdown


def test_markdown_cells_stay_in_their_cell():
    assert pages.markdown_cell("a|b\n<c> *d*") == r"a\|b &lt;c&gt; \*d\*"


def test_a_fence_is_longer_than_any_inside():
    assert pages.markdown_fence("a\n````\nb", "yaml").splitlines() == [
        "`````yaml",
        "a",
        "````",
        "b",
        "`````",
    ]
