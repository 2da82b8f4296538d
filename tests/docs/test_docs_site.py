"""The check of the built site finds what it should; pages of the sources link to what is there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/**/*.md", "results/**/*.md")
    for path in ROOT.glob(pattern)
    if "generated" not in path.parts
)
_LINK = re.compile(r"(?<!\!)\[[^\]\n]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def script():
    spec = importlib.util.spec_from_file_location("check_site", ROOT / "scripts/check_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def site(tmp_path: Path, body: str, head: str = "") -> list[str]:
    (tmp_path / "other.html").write_text("<h1 id='there'>x</h1>", encoding="utf-8")
    text = f"<html><head>{head}</head><body>{body}</body></html>"
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    return script().faults_of(tmp_path.resolve())


@pytest.mark.parametrize(
    "body",
    [
        "<a href='other.html#there'>x</a> <a href='https://example.org'>y</a>",
        "<a href='#here' id='here'>x</a>",
        "<img src='data:image/png;base64,AA'>",
    ],
)
def test_a_whole_site_has_no_faults(tmp_path, body) -> None:
    assert site(tmp_path, body) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<a href='gone.html'>x</a>", "leads nowhere"),
        ("<a href='other.html#gone'>x</a>", "no such place"),
        ("<a href='http://example.org'>x</a>", "not over https"),
        ("<img src='https://example.org/x.png'>", "fetches https"),
        ("<img src='gone.png'>", "not there"),
        ("<script src='//cdn.example.org/x.js'></script>", "fetches //cdn"),
        ("<p style='background: url(https://example.org/x.png)'>x</p>", "fetches https"),
    ],
)
def test_faults_are_found(tmp_path, body, fault) -> None:
    (found,) = site(tmp_path, body)
    assert fault in found


def test_style_sheets_fetch_nothing_from_elsewhere(tmp_path) -> None:
    (tmp_path / "x.css").write_text("@import 'https://example.org/x.css';", encoding="utf-8")
    assert len(site(tmp_path, "")) == 1
    assert script().faults_of(tmp_path / "nowhere") == [f"no page under {tmp_path / 'nowhere'}"]


def anchor_of(heading: str) -> str:
    """As MyST and GitHub make it of a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors_of(path: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {anchor_of(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    text = _CODE.sub("", path.read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        if re.match(r"https?:|mailto:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if "generated" in file.parts:
            continue  # made when the site is built, which checks these
        assert file.exists(), link
        if anchor and file.suffix == ".md":
            assert anchor in anchors_of(file), link


def test_every_page_has_one_title() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        titles = [line for line in text.splitlines() if line.startswith("# ")]
        assert len(titles) == 1 or "{include}" in path.read_text(encoding="utf-8"), path


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_is_whole(tmp_path) -> None:
    """What ``make docs`` does; the reference is made from the sources as they are."""
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    folders = ["-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "site")]
    done = subprocess.run([*words, *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert script().faults_of((tmp_path / "site").resolve()) == []
    options = (tmp_path / "site/reference/generated/configuration.html").read_text("utf-8")
    assert "over_expert_tokens" in options
    assert "gate_failure_fraction" in options
