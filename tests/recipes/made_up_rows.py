"""Made-up rows in the columns of public data sets. No row is from the data set that it looks like.

Columns and nesting are those of the sources named in docs/data.md and of FinQA's README; contents
are ours, so that nothing is quoted and every test knows the right answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LETTERS = "ABCDEFGHIJ"


def openr1_math(count: int = 6) -> list[dict[str, Any]]:
    """open-r1/OpenR1-Math-220k; the last row has no correct generation."""
    return [_openr1(i, correct=i < count - 1) for i in range(count)]


def _openr1(i: int, *, correct: bool) -> dict[str, Any]:
    thought = f"<think>\nWait, {i} plus {i} is {2 * i}.\n</think>"
    right = f"{thought}\n\nDoubling gives \\boxed{{{2 * i}}}."
    wrong = "<think>\nNo idea.\n</think>\n\nPerhaps \\boxed{-1}."
    return {
        "problem": f"Compute the sum of {i} and {i}.",
        "solution": f"The sum is ${2 * i}$.",
        "answer": str(2 * i),
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "source": "olympiads",
        "uuid": f"00000000-0000-0000-0000-{i:012d}",
        "is_reasoning_complete": [True, True],
        "generations": [wrong, right if correct else wrong],
        "correctness_math_verify": [False, correct],
        "correctness_llama": None,
        "finish_reasons": None,
        "correctness_count": int(correct),
        "messages": [
            {"content": f"Compute the sum of {i} and {i}.", "role": "user"},
            {"content": right, "role": "assistant"},
        ],
    }


def luffy(count: int = 6) -> list[dict[str, Any]]:
    """Elliott/Openr1-Math-46k-8192: verl's schema and ``target``."""
    system = "Think in <think> and </think> tags before you give the solution."
    return [
        {
            "data_source": "openr1.math",
            "prompt": [
                {"content": system, "role": "system"},
                {"content": f"Compute the square of {i}.", "role": "user"},
            ],
            "target": [
                {
                    "content": f"<think>\n{i} * {i}.\n</think>\nIt is \\boxed{{{i * i}}}.",
                    "role": "assistant",
                }
            ],
            "ability": "math",
            "reward_model": {"ground_truth": str(i * i), "style": "rule"},
            "extra_info": {"index": i, "split": "default"},
        }
        for i in range(count)
    ]


def super_gpqa(count: int = 6, first: int = 0) -> list[dict[str, Any]]:
    """m-a-p/SuperGPQA, with up to ten options."""
    rows = []
    for i in range(first, first + count):
        options = [f"{i + k} units" for k in range(10 - i % 3)]
        right = i % len(options)
        rows.append(
            {
                "uuid": f"{i:032x}",
                "question": f"Which value has experiment number {i}?",
                "options": options,
                "answer": options[right],
                "answer_letter": LETTERS[right],
                "discipline": "Science",
                "field": "Physics",
                "subfield": "Optics",
                "difficulty": "hard",
                "is_calculation": False,
            }
        )
    return rows


def finqa(count: int = 6) -> list[dict[str, Any]]:
    """An entry of FinQA's ``dataset/*.json``; every third answer is yes or no."""
    return [_finqa(i) for i in range(count)]


def _finqa(i: int) -> dict[str, Any]:
    old, new = 100 + i, 110 + i
    yes_no = i % 3 == 2
    asked = "did sales rise in 2019?" if yes_no else "what was the growth of sales in 2019?"
    program = f"greater({new}, {old})" if yes_no else f"subtract({new}, {old}), divide(#0, {old})"
    table = [["$ in millions", "2019", "2018"], ["sales", f"$ {new}", f"$ {old}"]]
    return {
        "pre_text": ["results of operations .", "sales are shown below ."],
        "post_text": ["all amounts are unaudited ."],
        "filename": f"XYZ/2019/page_{i}.pdf",
        "table_ori": table,
        "table": table,
        "qa": {
            "question": asked,
            "answer": "yes" if yes_no else f"{100 * (new - old) / old:.1f}%",
            "explanation": "",
            "ann_table_rows": [1],
            "ann_text_rows": [],
            "steps": [
                {"op": "minus1-1", "arg1": str(new), "arg2": str(old), "res": str(new - old)}
            ],
            "program": program,
            "gold_inds": {"table_1": f"sales of 2019 is $ {new} ; of 2018 is $ {old} ;"},
            "exe_ans": "yes" if yes_no else round((new - old) / old, 5),
            "program_re": program,
        },
        "id": f"XYZ/2019/page_{i}.pdf-1",
    }


def tatqa_raw() -> list[dict[str, Any]]:
    """Two contexts of TAT-QA's ``dataset_raw``: every kind of answer, paragraphs out of order."""
    return [_tatqa_context(0), _tatqa_context(1)]


def _tatqa_context(i: int) -> dict[str, Any]:
    kinds = (
        ("arithmetic", -12.6, "44.1-56.7", "million"),
        ("span", ["the board"], "", ""),
        ("multi-span", ["wages", "overhead"], "", ""),
        ("count", 2, "wages##overhead", ""),
    )
    return {
        "table": {"uid": f"table-{i}", "table": [["", "2019", "2018"], ["Other", "44.1", "56.7"]]},
        "paragraphs": [
            {"uid": f"p-{i}-2", "order": 2, "text": "Second paragraph."},
            {"uid": f"p-{i}-1", "order": 1, "text": "First paragraph."},
        ],
        "questions": [
            {
                "uid": f"q-{i}-{kind}",
                "order": order,
                "question": f"What is the {kind} of report {i}?",
                "answer": answer,
                "derivation": derivation,
                "answer_type": kind,
                "answer_from": "table-text",
                "rel_paragraphs": ["1"],
                "req_comparison": False,
                "scale": scale,
            }
            for order, (kind, answer, derivation, scale) in enumerate(kinds, 1)
        ],
    }


def aime(count: int = 3) -> list[dict[str, Any]]:
    """HuggingFaceH4/aime_2024 and yentinglin/aime_2025, as far as the mapping reads them."""
    return [
        {
            "id": i,
            "problem": f"Find {i} times 7.",
            "solution": f"It is $\\boxed{{{7 * i}}}$.",
            "answer": str(7 * i),
            "url": "https://example.org",
            "year": "2024",
        }
        for i in range(count)
    ]


def math500(count: int = 3) -> list[dict[str, Any]]:
    """HuggingFaceH4/MATH-500."""
    return [
        {
            "problem": f"What is {i} minus 1?",
            "solution": f"We get $\\boxed{{{i - 1}}}$.",
            "answer": str(i - 1),
            "subject": "Algebra",
            "level": 1,
            "unique_id": f"test/algebra/{i}.json",
        }
        for i in range(count)
    ]


def lines(path: Path, rows: Iterable[Any]) -> Path:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
