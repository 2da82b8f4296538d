"""scripts/rewrites_gallery.py: a seeded draw of both kinds, in full, harmless on a page."""

from __future__ import annotations

import json
import re
import sys

import pytest
import recipe_scripts

from rephrase_rl.errors import DataError

script = recipe_scripts.load("rewrites_gallery")
HOSTILE = "```\n# Head\n<script>x</script> <!-- /gallery --> ![i](http://x) \x1b[31m\u202eabc"


def candidate(text: str, accepted: bool, **fields) -> dict:
    refusals = [] if accepted else ["no_meta_text", "finished"]
    return {
        "text": text, "accepted": accepted, "refusals": refusals, "removed_meta": [],
        "correctness": 1.0, "finished": accepted, "num_tokens": 3, **fields,
    }  # fmt: skip


def problem(i: int, **fields) -> dict:
    return {
        "problem_id": f"p{i}", "question": f"question {i}", "reference_answer": "7",
        "expert_solution": f"expert {i}", **fields,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A job of 30 problems; every third rewrite is accepted."""
    lines = [
        problem(i, rewrites=[{"candidate": candidate(f"text {i}", i % 3 == 0), "verdict": "right"}])
        for i in range(30)
    ]
    (tmp_path / "rewrites.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    return tmp_path


def page_of(folder, tmp_path, monkeypatch, *words) -> str:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nKept.\n\n<!-- gallery -->\nold\n<!-- /gallery -->\n\nKept too.\n")
    monkeypatch.setattr(
        sys, "argv", ["rewrites_gallery.py", str(folder), "--page", str(page), *map(str, words)]
    )
    script.main()
    return page.read_text()


def test_half_of_each_kind_with_reasons_and_what_is_outside_stays(
    folder, tmp_path, monkeypatch
) -> None:
    page = page_of(folder, tmp_path, monkeypatch, "--count", 8)
    assert page.startswith("# Title\n\nKept.\n\n<!-- gallery -->\n")
    assert page.endswith("<!-- /gallery -->\n\nKept too.\n")
    assert "old" not in page
    assert "30 rewrites, 10 accepted. 8 of them, drawn with seed 0:" in page
    assert len(re.findall(r"^### \d+\. accepted$", page, re.MULTILINE)) == 4
    refused = r"^### \d+\. refused: no\\_meta\\_text, finished$"
    assert len(re.findall(refused, page, re.MULTILINE)) == 4
    numbers = [int(n) for n in re.findall(r"^text (\d+)$", page, re.MULTILINE)]
    assert numbers == sorted(numbers)
    assert all(f"expert {n}" in page and f"question {n}" in page for n in numbers)
    assert "cut off at the limit" in page


def test_the_seed_decides_the_draw(folder, tmp_path, monkeypatch) -> None:
    first, again, other = (
        page_of(folder, tmp_path, monkeypatch, "--count", 8, "--seed", seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_other_kind_fills_up(folder) -> None:
    found = list(script.rewrites_in(folder))
    few = [shown for shown in found if not shown.candidate["accepted"]] + found[:1]
    chosen = script.drawn(few, 10, 0)
    assert len(chosen) == 10
    assert sum(shown.candidate["accepted"] for shown in chosen) == 1
    assert len(script.drawn(found[:3], 10, 0)) == 3


def test_a_run_directory_is_read_too(tmp_path) -> None:
    groups = [
        problem(0, step=4, candidates=[candidate("own words", True, removed_meta=["Here is it:"])]),
        problem(1, step=5, candidates=[candidate("?", False, correctness=None)]),
        problem(2, step=6, candidates=[]),
    ]
    (tmp_path / "groups.jsonl").write_text("".join(json.dumps(x) + "\n" for x in groups))
    text = script.gallery(list(script.rewrites_in(tmp_path)), 20, 0, tmp_path)
    assert "p0, step 4, correctness 1, 3 tokens" in text
    assert "p1, step 5, unscorable" in text
    assert "Cut as meta text:\n\n```\nHere is it:\n```" in text


def test_hostile_text_stays_in_its_block(tmp_path) -> None:
    rewrite = {"candidate": candidate(HOSTILE, True), "verdict": "right"}
    line = problem(0, rewrites=[rewrite], reference_answer="`|<i>", question=HOSTILE)
    (tmp_path / "rewrites.jsonl").write_text(json.dumps(line) + "\n")
    text = script.gallery(list(script.rewrites_in(tmp_path)), 20, 0, tmp_path)
    assert text.count("````\n```\n# Head\n") == 2
    outside = re.sub(r"^````\n.*?\n````$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<" not in outside
    assert "\x1b" not in text
    assert "[U+202E]" in text


def test_a_mark_in_a_rewrite_ends_no_block(tmp_path, monkeypatch) -> None:
    rewrite = {"candidate": candidate(HOSTILE, True), "verdict": "right"}
    (tmp_path / "rewrites.jsonl").write_text(json.dumps(problem(0, rewrites=[rewrite])) + "\n")
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- gallery -->\n<!-- /gallery -->\nb\n")
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "--page", str(page)])
    script.main()
    once = page.read_text()
    script.main()
    assert page.read_text() == once


def test_what_cannot_be_read_is_told(tmp_path, monkeypatch) -> None:
    with pytest.raises(DataError, match=r"neither rewrites.jsonl nor groups.jsonl"):
        list(script.rewrites_in(tmp_path))
    with pytest.raises(DataError, match="no rewrite"):
        script.gallery([], 20, 0, tmp_path)
    page = tmp_path / "page.md"
    page.write_text("no marks")
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path), "--page", str(page)])
    with pytest.raises(DataError, match="and behind it"):
        script.main()
