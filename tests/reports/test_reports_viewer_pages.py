"""Pages of the viewer: what they hold, how a long run is divided, that no text leaves its block."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import CONFIG, MANIFEST, group, refused, rescued
from viewer_page import read_page, unpack

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports import report, write_report
from rephrase_rl.reports.curves import draw_run
from rephrase_rl.reports.viewer import survey as surveying
from rephrase_rl.reports.viewer.embedding import embed_json, pack, policy_hash, script
from rephrase_rl.reports.viewer.survey import survey_groups
from rephrase_rl.runs import RunDirectory
from rephrase_rl.visible_text import HIDDEN


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run", MANIFEST, CONFIG)
    for step in range(10):
        run.append_groups([group(step, "again"), rescued(step, f"rescued-{step}")])
    run.append_groups([refused(9, "refused-9")])
    return run


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch):
    figure = draw_run([], [])
    monkeypatch.setattr(report, "draw_run", lambda *_: figure)


# ------------------------------------------------------------------ what is read of a run


def test_counts_are_over_all_groups(run):
    assert survey_groups(run).tally.to_json() == {
        "groups": 21,
        "gate_reasons": {"open": 11, "closed": 10},
        "injected": 10,
        "rescued": 10,
        "candidates": 11,
        "accepted": 10,
        "refusals": {"better_than_replaced": 1, "finished": 1},
        "members": 84,
        "members_truncated": 10,
        "members_unscorable": 0,
    }


def test_a_page_holds_every_group_and_each_text_once(run):
    page = read_page(write_report(run.path).index)

    assert [row["number"] for row in page.rows] == list(range(21))
    assert len(page.groups) == 21
    assert [page.problems[row["problem"]]["id"] for row in page.rows[:3]] == [
        "again",
        "rescued-0",
        "again",
    ]
    assert len(page.texts) == 1
    assert page.texts[0]["question"] == "7+5-3+2="
    assert page.groups[1]["candidates"][0]["text"] == "7+5=2-3=9+2=1#291"


def test_a_problem_has_its_visits_with_the_numbers_of_their_groups(run):
    problems = {p["id"]: p for p in read_page(write_report(run.path).index).problems}

    # step, share that passed, gate open, injected, number of the group
    assert problems["again"]["visits"][:2] == [[0, 0.5, 0, 0, 0], [1, 0.5, 0, 0, 2]]
    assert problems["rescued-3"]["visits"] == [[3, 0.0, 1, 1, 7]]
    assert (problems["rescued-3"]["hard"], problems["rescued-3"]["solved"]) == (True, None)
    assert problems["again"]["hard"] is False


# ------------------------------------------------------------------ several pages


def test_a_long_run_is_divided_and_nothing_is_lost(run):
    paths = write_report(run.path, groups_per_page=8)

    pages = [read_page(path) for path in (paths.index, *paths.parts)]
    assert [path.name for path in paths.parts] == ["groups-2.html", "groups-3.html"]
    assert [len(page.groups) for page in pages] == [8, 8, 5]
    assert [row["number"] for page in pages for row in page.rows] == list(range(21))
    assert pages[0].data["pages"] == pages[2].data["pages"]
    assert [p["first"] for p in pages[0].data["pages"]] == [0, 8, 16]
    assert [p["rescued"] for p in pages[0].data["pages"]] == [4, 4, 2]
    # The cover has all problems, a part those of its groups; both know all of their visits.
    assert len(pages[0].problems) == 12
    assert {p["id"] for p in pages[2].problems} == {"again", "rescued-8", "rescued-9", "refused-9"}
    assert len(pages[2].problems[0]["visits"]) == 10


def test_every_page_links_to_the_others(run):
    paths = write_report(run.path, groups_per_page=8)

    for path in (paths.index, *paths.parts):
        html = path.read_text()
        links = re.findall(r'<a href="([^"#]+)#groups"', html)
        assert links == [
            name for name in ("index.html", "groups-2.html", "groups-3.html") if name != path.name
        ]
    assert "Groups 9 to 16 of 21" in paths.parts[0].read_text()


def test_pages_end_where_texts_are_too_long_for_one(run, monkeypatch):
    monkeypatch.setattr(surveying, "TEXT_PER_PAGE", 2500)
    long, longest = (group(10, f"long-{n}", question="q" * n) for n in (1000, 3000))
    run.append_groups([long, long, long, longest])

    pages = survey_groups(run).pages

    assert sum(page.count for page in pages) == 25
    assert all(page.characters <= 2500 for page in pages[:-1])
    # A group that is too long for any page has one of its own.
    assert (pages[-1].count, pages[-1].characters > 3000) == (1, True)
    assert [page.first for page in pages] == [
        sum(page.count for page in pages[:i]) for i in range(len(pages))
    ]


def test_pages_of_an_earlier_longer_run_go(run):
    write_report(run.path, groups_per_page=8)
    paths = write_report(run.path)

    assert paths.parts == ()
    assert not list(run.report.glob("groups*.html"))


def test_groups_that_come_while_pages_are_made_are_left_out(run, monkeypatch):
    survey = survey_groups(run)
    monkeypatch.setattr(report, "survey_groups", lambda *_: survey)
    run.append_groups([group(11, "late")])

    assert len(read_page(write_report(run.path).index).rows) == 21


def test_a_line_that_is_no_group_is_told_with_its_number(run):
    with (run.path / "groups.jsonl").open("ab") as file:
        file.write(b'{"step": 3}\n')
    with pytest.raises(CheckpointError, match="line 22 is no record of a group"):
        survey_groups(run)


# ------------------------------------------------------------------ data and script in a page


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text() | st.sampled_from(["</script>", "<!--<script>", "\u2028", "\ud800", "\x7f"]))
def test_no_text_leaves_its_block(text):
    embedded = str(embed_json({text: [text]}))

    assert not re.search(r"[<>&\u2028\u2029]", embedded)
    assert embedded.isascii()
    assert not HIDDEN.search(embedded)
    assert json.loads(embedded) == {text: [text]}
    assert unpack(pack([text])) == [text]


def test_packing_is_the_same_every_time():
    assert pack(list(range(1000))) == pack(list(range(1000)))


def test_the_policy_allows_exactly_the_scripts_of_the_page(run):
    html = write_report(run.path).index.read_text()

    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1)
    assert len(scripts) == 2
    allowed = re.search(r"script-src ([^;]*);", policy).group(1).split()
    assert allowed == [policy_hash(text) for text in scripts]
    digest = hashlib.sha256(scripts[1].encode()).digest()
    assert policy_hash(scripts[1]) == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy


def test_the_script_reads_no_markup_and_asks_nobody():
    text = str(script())
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "setAttribute('on",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "EventSource",
        "import(",
        "sendBeacon",
    ):
        assert word not in text, word
    assert set(re.findall(r"https?://[^'\" ]+", text)) == {"http://www.w3.org/2000/svg"}
