"""Make the data files of the recipes from public data sets; every row is in one of them.

    python scripts/recipe_data.py supergpqa m-a-p/SuperGPQA --out data/supergpqa
    python scripts/recipe_data.py finqa FinQA/dataset/train.json --out data/finqa/train
    python scripts/recipe_data.py tatqa TAT-QA/dataset_raw/tatqa_dataset_train.json --out data/tatqa

``supergpqa`` draws problems for training and others to be held out. ``finqa`` puts questions whose
answer is a number and those answered by yes or no into files of their own, since they are judged
differently. ``tatqa`` makes one row of each question, with its table and paragraphs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rephrase_rl.errors import DataError
from rephrase_rl.runs import atomic


def main() -> None:
    """Read the command line, write the files, say how many rows are in each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=("supergpqa", "finqa", "tatqa"))
    parser.add_argument("source", help="file, or hub id for supergpqa")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--train", type=int, default=11_000, help="supergpqa: rows to train on")
    parser.add_argument("--held-out", type=int, default=1_000, help="supergpqa: rows held out")
    parser.add_argument("--seed", type=int, default=0, help="supergpqa: seed of the draw")
    options = parser.parse_args()
    if options.data == "supergpqa":
        files = drawn_rows(options.source, options.train, options.held_out, options.seed)
    else:
        entries = json.loads(Path(options.source).read_text(encoding="utf-8"))
        files = finqa_files(entries) if options.data == "finqa" else tatqa_files(entries)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        write_lines(options.out / name, rows)
        print(f"{options.out / name}: {len(rows):,} rows")


def drawn_rows(source: str, train: int, held_out: int, seed: int) -> dict[str, list[Any]]:
    """Two disjoint random parts of a data set, in its own columns.

    Args:
        source: Hub id, or a file of JSON lines.
        train: Rows of ``train.jsonl``.
        held_out: Rows of ``held_out.jsonl``.
        seed: Of the draw.

    Raises:
        DataError: There are fewer rows than are asked for.
    """
    from datasets import load_dataset

    if Path(source).is_file():
        rows = load_dataset("json", data_files=source, split="train")
    else:
        rows = load_dataset(source, split="train")
    if len(rows) < train + held_out:
        raise DataError(
            f"found {len(rows)} rows in {source}; required: {train} to train on and {held_out} to "
            "hold out; do this: ask for fewer with --train and --held-out"
        )
    order = rows.shuffle(seed=seed)
    return {
        "train.jsonl": list(order.select(range(train))),
        "held_out.jsonl": list(order.select(range(train, train + held_out))),
    }


def finqa_files(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """FinQA's entries as they are, by what their executed answer is.

    Raises:
        DataError: An answer is neither a number nor yes or no.
    """
    files: dict[str, list[Any]] = {"numbers.jsonl": [], "yes_no.jsonl": []}
    faults = []
    for entry in entries:
        answer = entry["qa"]["exe_ans"]
        if answer in ("yes", "no"):
            files["yes_no.jsonl"].append(entry)
        elif isinstance(answer, int | float) and not isinstance(answer, bool):
            files["numbers.jsonl"].append(entry)
        else:
            faults.append(f"entry {entry.get('id')!r}: found exe_ans {answer!r:.80}")
    if faults:
        raise DataError("required: numbers, yes or no as executed answers", faults)
    return files


def tatqa_files(contexts: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """One row for each question of TAT-QA's raw files, its several answers joined by "; "."""
    rows = []
    for context in contexts:
        paragraphs = sorted(context["paragraphs"], key=lambda paragraph: int(paragraph["order"]))
        for question in context["questions"]:
            answer = question["answer"]
            rows.append(
                {
                    **{name: question[name] for name in TATQA_COLUMNS if name in question},
                    "answer": "; ".join(map(str, answer)) if isinstance(answer, list) else answer,
                    "table": context["table"]["table"],
                    "paragraphs": [paragraph["text"] for paragraph in paragraphs],
                }
            )
    return {"all.jsonl": rows}


TATQA_COLUMNS = ("uid", "question", "derivation", "answer_type", "answer_from", "scale")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    atomic.write_text(path, text)


if __name__ == "__main__":
    main()
