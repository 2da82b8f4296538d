"""The page of a rewriting job: drawn at random, in full, and safe whatever a model wrote."""

from __future__ import annotations

import json
import re

import pytest

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports import write_rewrites_page

HOSTILE = "```\n# Head\n<script>x</script> | a | \u202eabc\u200b ~~~~ ````` \x1b[31m\ud800"


def rewrite(text: str, *, accepted: bool = True, **fields):
    candidate = {
        "text": text,
        "accepted": accepted,
        "refusals": [] if accepted else ["no_meta_text"],
        "removed_meta": [],
        "reward": 1.0,
        "finished": True,
        "num_tokens": 3,
        "logp_on_q": -1.25,
        "logp_on_context": None,
    }
    return {
        "candidate": {**candidate, **fields},
        "verdict": "right",
        "leftover_meta": [],
        "copied_share": 0.5,
        "steps_right": 2,
        "steps_found": 3,
    }


def problem(name: str, *rewrites, **fields):
    return {
        "problem_id": name,
        "question": f"question of {name}",
        "reference_answer": "7",
        "expert_solution": f"expert of {name}",
        "not_asked": None,
        "rewrites": list(rewrites),
        **fields,
    }


SHARE = {"mean": 0.5, "low": 0.4, "high": 0.6, "n_clusters": 10}
SUMMARY = {
    "problems": 3, "not_asked": {"no_expert": 1}, "rewrites": 4, "verdicts": {"right": 4},
    "right": SHARE, "accepted": SHARE, "refusals": {"no_meta_text": 2}, "removed_meta": 1,
    "leftover_meta": 0, "median_copied_share": 0.25, "steps_right": 4, "steps_found": 6,
    "accepted_with_wrong_step": 2, "logp_on_q": -1.5, "logp_on_context": None, "tokens": 1234,
}  # fmt: skip


@pytest.fixture
def page(tmp_path):
    def write(problems, seed=0, **options) -> str:
        manifest = {"model": "m", "method": "repo", "seed": seed, "started_at": "2026-01-01"}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
        lines = "".join(json.dumps(line) + "\n" for line in problems)
        (tmp_path / "rewrites.jsonl").write_text(lines)
        return write_rewrites_page(tmp_path, **options).read_text()

    return write


def test_accepted_and_refused_stand_in_full(page) -> None:
    long = "word " * 2000
    text = page(
        [
            problem("a", rewrite("the accepted one"), rewrite(long, accepted=False)),
            problem("b", rewrite("cut", removed_meta=["Here is"]), rewritten=1),
            problem("c", not_asked="no_expert", expert_solution=None),
        ]
    )
    accepted, refused = text.split("## Refused")
    assert "the accepted one" in accepted
    assert "Here is" in accepted
    assert long.rstrip() in refused
    assert "Refused by: no_meta_text." in refused.replace("\\_", "_")
    assert "question of a" in refused
    assert "expert of a" in refused
    for fact in ("0.500 (0.400–0.600)", "1,234", "4 of 6", "not asked: no\\_expert"):
        assert fact in text, fact
    assert "steps right 2 of 3" in text


def test_the_draw_is_random_seeded_and_bounded(page) -> None:
    problems = [problem(f"p{i}", rewrite(f"text {i}.")) for i in range(50)]

    def drawn(**options):
        return re.findall(r"text \d+\.", page(problems, **options))

    first = drawn(drawn=5)
    assert len(first) == 5
    assert first == drawn(drawn=5)
    assert first == sorted(first, key=lambda text: int(text[5:-1]))
    assert first != drawn(drawn=5, seed=1)
    assert first != [f"text {i}." for i in range(5)]
    assert len(drawn()) == 10


def test_what_a_model_writes_cannot_leave_its_block(page) -> None:
    hostile = problem(
        f"id`|{HOSTILE}",
        rewrite(HOSTILE, removed_meta=[HOSTILE]),
        question=HOSTILE,
        expert_solution=HOSTILE,
        reference_answer=HOSTILE,
    )
    text = page([hostile])
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in outside
    assert re.findall(r"^ {0,3}# .*", outside, flags=re.MULTILINE) == ["# Rewrites"]
    assert not re.search("[\u202e\u200b\x1b\ud800]", text)
    assert "[U+202E]" in text
    # Two texts, the question and the expert, each in a fence longer than any run in it.
    assert len(re.findall(r"^`{6}$", text, flags=re.MULTILINE)) == 8


def test_an_unfinished_job_has_no_page(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"summary\.json"):
        write_rewrites_page(tmp_path)
