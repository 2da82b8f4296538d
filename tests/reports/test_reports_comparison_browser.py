"""The page of a comparison in Chromium: it can be read anywhere, switches its axis, asks nobody."""

from __future__ import annotations

import pytest
from arm_runs import arm_run
from browser import chromium

from rephrase_rl.reports import ComparisonQuestions, write_comparison
from rephrase_rl.reports.arms import LONGEST_LABEL

PLANTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """Three arms, one of a hostile name, in a tab that remembers what it asks for."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        arm_run(folder / f"{method}-{seed}", method, seed, hard=[float(method != "grpo"), 0.5])
        for method in ("grpo", "repo")
        for seed in (1, 2)
    ]
    runs.append(arm_run(folder / "odd", "odd", 1))
    runs[-1].update_manifest({"method": PLANTED, "seed": PLANTED})
    questions = ComparisonQuestions(threshold=0.5)
    index = write_comparison([run.path for run in runs], folder / "out", questions).index
    tab = browser.new_page()
    tab.requests, tab.faults = [], []
    tab.on("request", lambda request: tab.requests.append(request.url))
    tab.on("dialog", lambda dialog: (tab.faults.append("dialog"), dialog.dismiss()))
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.goto(index.as_uri())
    yield tab
    tab.close()


def test_nothing_is_fetched_and_planted_text_is_text(page):
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.faults == []
    assert PLANTED[:LONGEST_LABEL] in page.locator("h1").inner_text()
    assert PLANTED in page.locator("table").all_inner_texts()[-1]
    assert page.locator("img[src='x']").count() == 0
    broken = "images => images.filter(i => !i.complete || !i.naturalWidth).length"
    assert page.locator("img").evaluate_all(broken) == 0


def test_curves_switch_their_axis(page):
    def shown() -> set[str]:
        figures = page.locator(".panels figure:visible")
        return set(figures.evaluate_all("figures => figures.map(f => f.className)"))

    assert shown() == {"over-steps"}
    page.get_by_label("tokens sampled in training").check()
    assert shown() == {"over-tokens"}
    page.get_by_label("optimiser step").check()


@pytest.mark.parametrize("width", [360, 1280])
def test_no_line_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    captions = page.locator("caption").evaluate_all(
        "captions => captions.map(c => c.getBoundingClientRect().width)"
    )
    assert max(captions) <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = axe.run(page, options=rules).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in serious] == []
