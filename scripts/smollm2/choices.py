r"""Multiple choice that nothing was trained on, by the likelihood of the options.

    python scripts/smollm2/choices.py MODEL --arc arc_challenge_test.jsonl \
        --ecqa ecqa_train.tsv --out choices.json

A model of this size hardly ever answers such a question in writing, so written answers cannot show
what it lost. The likelihoods of the options can: lm-evaluation-harness asks without the options in
sight and takes the one of the highest likelihood per byte (``acc_norm``).
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rephrase_rl.assembly import evaluate_with_harness
from rephrase_rl.config import HarnessConfig
from rephrase_rl.errors import DataError
from rephrase_rl.runs import atomic

OPTION = re.compile(r"^([A-Z1-9])\) (.*)$", re.MULTILINE)
"""One option of ARC's questions: ``A) ...``, in some of them ``1) ...``."""
DASH = "\\n- "
"""Before each option of ECQA's questions; the file has the two characters for a line's end."""


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="run directory or model folder")
    parser.add_argument("--arc", type=Path, required=True, help="ARC's questions")
    parser.add_argument("--ecqa", type=Path, required=True, help="ECQA's questions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=200, help="questions of each")
    options = parser.parse_args()
    started = time.perf_counter()
    questions = {"arc": arc_questions(options.arc), "ecqa": ecqa_questions(options.ecqa)}
    found = likeliest(options.model, questions, options.limit)
    found["seconds"] = time.perf_counter() - started
    atomic.write_text(options.out, json.dumps(found, indent=1) + "\n")


def likeliest(
    model: str, questions: Mapping[str, Sequence[Mapping[str, Any]]], limit: int
) -> dict[str, Any]:
    """Of every set, by question, whether the option of the highest likelihood per byte is right."""
    with tempfile.TemporaryDirectory() as folder:
        tasks = [str(task_file(Path(folder), name, rows)) for name, rows in questions.items()]
        results = evaluate_with_harness(model, tasks, seed=0, options=HarnessConfig(limit=limit))
    return {
        name: {"values": {sample.problem_id: [sample.value] for sample in results[name].samples}}
        for name in questions
    }


def task_file(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A task of the harness with its data beside it."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "label",
        "metric_list": [{"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}],
    }
    file = folder / f"{name}.yaml"
    # JSON is YAML; the name stands in a line of its own, where it is looked for.
    lines = [f"{key}: {json.dumps(value)}" for key, value in {"task": name, **task}.items()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def arc_questions(source: Path) -> list[dict[str, Any]]:
    """ARC's, whose options stand below the question as ``A) ...``."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    found = []
    for number, row in enumerate(rows, start=1):
        options = dict(OPTION.findall(row["question"]))
        question = OPTION.sub("", row["question"]).strip()
        found.append(asked(question, list(options.values()), options.get(row["answer"]), number))
    return found


def ecqa_questions(source: Path) -> list[dict[str, Any]]:
    """ECQA's, whose options stand behind the question as ``- ...``; the answer is one's text."""
    found = []
    with source.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(
            csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1
        ):
            question, *options = row[0].split(DASH)
            question = question.removesuffix("\\nOptions:")
            found.append(asked(question, options, row[1], number))
    return found


def asked(question: str, options: Sequence[str], right: str | None, number: int) -> dict[str, Any]:
    """One question of a task.

    Raises:
        DataError: The right option is none of the options.
    """
    if right not in options:
        raise DataError(
            f"question {number}: found the right option {right!r} and the options {options!r}; "
            "required: the right one among them; do this: take the data of MANIFEST.md as it is"
        )
    return {"question": question, "choices": list(options), "label": options.index(right)}


if __name__ == "__main__":
    main()
