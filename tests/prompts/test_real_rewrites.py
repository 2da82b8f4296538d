"""Rewrites of small models, each read and labelled: what the filters find of them, and what not.

``cases/real_rewrites.jsonl``: question, expert solution and rewrite as it was sampled, with

* ``meta``: it betrays that a solution was shown or how it was to be rewritten; ``quotes`` say where
* ``echo``: it repeats or carries out aloud an order of the prompt (read, own words, do not copy)
* ``talk``: it speaks to somebody or of itself without betraying anything ("I'm ready to help")
* ``copied``: ``most`` of it, ``part`` of it (a sentence at least) or ``none`` is the expert's text
* ``part``: the patterns of echoes were written after reading ``first`` and extended after reading
  ``second`` and ``third``; rows of ``held_out`` were read last and have changed no pattern

Rows come from GSM8K, MATH and PubMedQA (MIT), AQuA (Apache-2.0) and TAT-QA (CC BY 4.0), and from
the lab; ``origin`` says which.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rephrase_rl.guidance.acceptance import NotCopied
from rephrase_rl.guidance.overlap import copied_share
from rephrase_rl.prompts import remove_meta_text
from rephrase_rl.prompts.echo_patterns import ECHO
from rephrase_rl.prompts.meta_text import CleanedText

CASES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "real_rewrites.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
PARTS = ("first", "second", "third", "held_out")
PAGE = (Path(__file__).parents[2] / "docs" / "rewrites.md").read_text(encoding="utf-8")

MISSED = {
    "s180": "salad about another page: 'the bottom of the previous solution'",
    "s191": "salad: 'you stated your answer'; a phrase of honest advice too",
    "s193": "'your final answer was based on': honest texts address a reader in the same way",
    "s200": "'a mix of your own written English': seen once",
    "s201": "'not in our words', 'I will not steal your thinking': seen once",
    "s206": "'Don't have time for your explanation': seen once",
    "h008": "'The question contains an incorrect answer': seen once",
    "h010": "the tag <solution> alone: prompts of one's own may ask for it",
    "h035": "the tag <solution> alone: prompts of one's own may ask for it",
    "h036": "'The only answer that is given': multiple choice has given answers",
    "h041": "'I am using the correct answer': seen once",
    "h046": "'The original question was': honest texts speak of the original problem too",
    "h059": "'The solution is very clear and concise': may be about its own solution",
    "h072": "held out: 'I have reviewed this answer'",
    "h075": "held out: 'You are a helpful AI, provided with the answer'",
    "h081": "held out: 'The answer says'",
    "h085": "held out: 'presents all the suggested responses without copying'",
    "h090": "held out: 'the answer that I explained earlier'",
    "h093": "held out: 'Here is a correct answer, written by you'",
}
"""Meta text that is not found, and why no pattern is made of it."""
FALSE_ALARMS: dict[str, str] = {}
"""Texts without meta text from which something is cut, or in which something is found."""
TAKEN_FOR_COPIES = {
    "s256": "formulae of the expert put together anew: one fraction in LaTeX is a passage of eight",
    "s268": "one copied sentence full of LaTeX: half of the words, a third of the letters",
    "h026": "two copied sentences, of which the second is varied and repeated to the end",
    "h060": "nothing but the sentence with the answer that is put behind TAT-QA's derivations",
}
"""Texts of which half the words lie in passages in common, though most of them is not copied."""


def is_found(case: dict[str, Any]) -> bool:
    """Something is cut or reported, and no betraying phrase stays behind unreported."""
    cleaned = remove_meta_text(case["text"])
    if not cleaned.leftover and any(quote in cleaned.text for quote in case["quotes"]):
        return False
    return bool(cleaned.removed or cleaned.leftover)


def share(case: dict[str, Any]) -> float:
    return copied_share(case["text"], case["expert"])


def test_the_table_is_one() -> None:
    assert len(CASES) >= 150
    assert len({case["id"] for case in CASES}) == len(CASES)
    assert len({(case["question"], case["text"]) for case in CASES}) == len(CASES)
    for case in CASES:
        assert case["meta"] == bool(case["quotes"]), case["id"]
        assert all(quote in case["text"] for quote in case["quotes"]), case["id"]
        assert not (case["meta"] and case["talk"]), case["id"]
        assert case["copied"] in ("most", "part", "none"), case["id"]
        assert case["part"] in PARTS, case["id"]
        assert case["origin"].endswith(("MIT)", "Apache-2.0)", "CC BY 4.0)")), case["id"]
    assert {case["kind"] for case in CASES} == {"math", "choice", "finance", "text", "lab"}
    assert {case["style"] for case in CASES} == {"plain", "think"}


def test_meta_text_is_found_but_for_the_listed_misses() -> None:
    missed = {case["id"] for case in CASES if case["meta"] and not is_found(case)}
    assert missed == set(MISSED)


def test_nothing_else_is_taken_for_meta_text() -> None:
    found = {case["id"] for case in CASES if not case["meta"] and is_found(case)}
    assert found == set(FALSE_ALARMS)


def test_questions_and_expert_solutions_are_left_alone() -> None:
    for case in CASES:
        for text in (case["question"], case["expert"]):
            cleaned = remove_meta_text(text)
            assert (cleaned.removed, cleaned.leftover) == ((), ()), case["id"]


# Part -> texts with meta text, and how many of them are found.
FOUND = {"first": (49, 48), "second": (27, 22), "third": (21, 14), "held_out": (6, 0)}


@pytest.mark.parametrize("part", PARTS)
def test_rates_of_each_part_are_those_of_the_page(part) -> None:
    cases = [case for case in CASES if case["part"] == part]
    meta = [case for case in cases if case["meta"]]
    found = [case for case in meta if is_found(case)]
    assert (len(meta), len(found)) == FOUND[part]
    row = re.compile(
        rf"^\| `{part}` [^|]*\| {len(cases)} \|[^|]*\| {len(found)} of {len(meta)} \|$", re.M
    )
    assert row.search(PAGE)


def test_patterns_of_echoes_hit_nothing_but_meta_text() -> None:
    pattern = re.compile(ECHO, re.IGNORECASE | re.MULTILINE)
    hits = [case for case in CASES if pattern.search(case["text"])]
    assert all(case["meta"] or case["echo"] for case in hits)


@pytest.mark.parametrize(
    ("threshold", "most", "part", "none"),
    [(0.3, 19, 19, 6), (0.5, 19, 4, 0), (0.7, 10, 2, 0)],
)
def test_copies_are_told_at_each_threshold(threshold, most, part, none) -> None:
    hits = Counter(case["copied"] for case in CASES if share(case) > threshold)
    total = Counter(case["copied"] for case in CASES)
    assert (hits["most"], hits["part"], hits["none"]) == (most, part, none)
    assert (
        f"| {threshold} | {most} of {total['most']} | {part} of {total['part']} "
        f"| {none} of {total['none']} |"
    ) in PAGE


def test_the_default_threshold_refuses_every_copy_and_the_listed_others() -> None:
    limit = NotCopied().max_share
    refused = {case["id"] for case in CASES if share(case) > limit}
    most = {case["id"] for case in CASES if case["copied"] == "most"}
    assert refused == most | set(TAKEN_FOR_COPIES)


@pytest.mark.slow
def test_nothing_is_found_in_problem_sets() -> None:
    data = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    sets = {
        "gsm8k/train.jsonl": ("question", "answer"),
        "math/math_test5000.jsonl": ("problem", "solution"),
        "choice/aqua_dev.jsonl": ("question", "rationale"),
    }
    if not all((data / name).is_file() for name in sets):
        pytest.skip(f"{data} has not all of {', '.join(sets)}")
    texts = [
        json.loads(line)[column]
        for name, columns in sets.items()
        for line in (data / name).read_text(encoding="utf-8").splitlines()
        for column in columns
    ]
    found = [text for text in texts if remove_meta_text(text) != CleanedText(text, (), ())]
    assert found == []
    assert f"0 of {len(texts):,} questions and solutions" in " ".join(PAGE.split())
