"""The study's problems: disjoint parts of the word problems, and texts to warm the policy up with.

    python scripts/smollm2/problems.py mwp_train_steps.jsonl --out runs/smollm2/data

Questions that occur twice are left out as a whole and counted, so that no part holds one of
another. The texts of the warm-up are in a style that the experts do not have: arithmetic in words.
A policy that rewrites an expert's lines of figures in it has written something of its own.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rephrase_rl.data import load_problems
from rephrase_rl.errors import DataError
from rephrase_rl.prompts import get_template, render_prompt
from rephrase_rl.runs import atomic

WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
SOLVE, REPHRASE = "math-solve-v1", "math-rephrase-v1"
PARTS = ("warm_up", "pool", "test_pool", "held_out")


def main() -> None:
    """Read the command line and write the parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="word problems with `steps`")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    for part, size in zip(PARTS, (160, 200, 100, 100), strict=True):
        parser.add_argument(f"--{part.replace('_', '-')}", type=int, default=size)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.source.read_text(encoding="utf-8").splitlines()]
    sizes = {part: getattr(options, part) for part in PARTS}
    parts = split(rows, sizes, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for part in PARTS[1:]:
        write_lines(options.out / f"{part}.jsonl", parts[part])
    write_lines(options.out / "warm_up_problems.jsonl", parts["warm_up"])
    texts = warm_up_rows(options.out / "warm_up_problems.jsonl")
    write_lines(options.out / "warm_up.jsonl", texts)
    print(f"{len(rows)} problems, {len(rows) - len(once(rows))} of them repeated and left out")
    print(", ".join(f"{part} {len(parts[part])}" for part in PARTS))


def once(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows whose question occurs once, blanks and case aside."""
    counts = Counter(_plain(row["question"]) for row in rows)
    return [row for row in rows if counts[_plain(row["question"])] == 1]


def split(
    rows: Sequence[Mapping[str, Any]], sizes: Mapping[str, int], seed: int
) -> dict[str, list[Mapping[str, Any]]]:
    """Disjoint random parts of these sizes.

    Raises:
        DataError: There are too few rows.
    """
    kept = once(rows)
    if len(kept) < sum(sizes.values()):
        raise DataError(
            f"found {len(kept)} questions that occur once; required: {sum(sizes.values())} for "
            f"{', '.join(sizes)}; do this: ask for smaller parts"
        )
    order = list(kept)
    random.Random(f"parts of the study, {seed}").shuffle(order)
    parts, start = {}, 0
    for part, size in sizes.items():
        parts[part] = order[start : start + size]
        start += size
    return parts


def warm_up_rows(problems_file: Path) -> list[dict[str, Any]]:
    """Whole prompts with the text that the policy is to write for them.

    Of each two problems one is asked plainly and one with its expert solution in sight.
    """
    rows = []
    raw = [json.loads(line) for line in problems_file.read_text(encoding="utf-8").splitlines()]
    problems = load_problems(str(problems_file), mapping="mwp")
    for i, (problem, row) in enumerate(zip(problems, raw, strict=True)):
        template = get_template(SOLVE if i % 2 == 0 else REPHRASE)
        (turn,) = render_prompt(problem, template)
        rows.append(
            {
                "problem_id": f"warm_up-{i}",
                "question": turn["content"],
                "reference_answer": problem.reference_answer,
                "expert_solution": in_words(row["steps"], row["answer"]),
            }
        )
    return rows


def in_words(steps: Sequence[str], answer: str) -> str:
    r"""A solution in the policy's style.

    Example:
        >>> in_words(["41 + 44 = 85", "85 - 5 = 80"], "80")
        '41 plus 44 is 85. Then 85 minus 5 is 80. So the answer is \\boxed{80}.'
    """
    sentences = []
    for step in steps:
        left, operator, right, _, result = step.split()
        sentences.append(f"{left} {WORDS[operator]} {right} is {result}.")
    return f"{' Then '.join(sentences)} So the answer is \\boxed{{{answer}}}."


def _plain(question: str) -> str:
    return " ".join(question.lower().split())


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    atomic.write_text(path, text)


if __name__ == "__main__":
    main()
