"""The built site in Chromium: readable on a phone and on a screen, light and dark; asks nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pages import ROOT

sys.path.append(str(ROOT / "tests" / "reports"))

from browser import chromium

pytestmark = pytest.mark.slow

LOOKED_AT = (
    "index.html",
    "quickstart.html",
    "how-it-works.html",
    "tutorials/own-data.html",
    "methods.html",
    "metrics.html",
    "project/comparison.html",
)
"""Pages that are looked at closely; the width of every page is measured."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    words = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", str(folder / "trees")]
    subprocess.run([*words, str(ROOT / "docs"), str(folder / "site")], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def tab(site):
    """A tab that remembers what it asked for and what broke."""
    with chromium() as browser:
        tab = browser.new_page()
        tab.asked, tab.faults = [], []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.on("pageerror", lambda error: tab.faults.append(str(error)))
        yield tab


def test_pages_fit_a_phone_and_a_screen_and_fetch_nothing(site, tab) -> None:
    too_wide = []
    for path in sorted(site.rglob("*.html")):
        for width in (360, 1280):
            tab.set_viewport_size({"width": width, "height": 800})
            tab.goto(path.as_uri(), wait_until="domcontentloaded")
            found = tab.evaluate("document.documentElement.scrollWidth")
            if found > width:
                too_wide.append(f"{path.relative_to(site)}: {found} > {width}")
    assert too_wide == []
    assert [url for url in tab.asked if not url.startswith(("file:", "data:"))] == []
    assert tab.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_by_everybody(site, tab, scheme) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 1280, "height": 800})
    serious = []
    for name in LOOKED_AT:
        tab.goto((site / name).as_uri())
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
        for fault in axe.run(tab, options=rules).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                serious.append((name, fault["id"], fault["nodes"][0]["html"][:100]))
    assert serious == []


def test_pictures_are_whole(site, tab) -> None:
    broken = "images => images.filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    for name in ("index.html", "how-it-works.html", "metrics.html", "report.html"):
        tab.goto((site / name).as_uri())
        tab.wait_for_load_state("networkidle")
        assert tab.locator("img").count() > 0, name
        assert tab.locator("img").evaluate_all(broken) == [], name
