"""Read what runs of the ablations answer to easy problems that they no longer solve.

Run directories are too large to keep, so this reads those of ``rephrase-rl study ablations`` where
they were made, and stores counts that ``make results`` puts into ``docs/mechanism.md``.

    python scripts/forgotten_texts.py runs/ablations/runs
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from rephrase_rl.runs import RunDirectory, atomic
from rephrase_rl.studies.forgetting import answers_too_long
from rephrase_rl.studies.shipped import shipped_study

OUT = Path("results/ablations/forgotten_texts.json")
PROTOCOL = "hard"


def main() -> None:
    """Count, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="folder of run directories")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    arm = shipped_study("ablations").baseline
    paths = sorted(options.runs.glob(f"{PROTOCOL}-alien-good-{arm}-lr*-s?"))
    if not paths:
        raise SystemExit(
            f"found no run of {arm} on {PROTOCOL} batches in {options.runs}; make some with "
            "`rephrase-rl study ablations`"
        )
    record = count([RunDirectory.open(path) for path in paths])
    print(sentence(record))
    atomic.write_text(options.out, json.dumps(record, indent=1) + "\n")


def count(runs: list[RunDirectory]) -> dict[str, object]:
    """Failures on easy test problems at the end, and how many are right up to a longer answer."""
    counts: Counter[str] = Counter()
    for run in runs:
        last = max((e for e in run.evaluations() if e.benchmark == "easy"), key=lambda e: e.step)
        for sample in last.samples():
            if not sample["value"]:
                question = sample["problem_id"].partition("/")[2]
                counts["failures"] += 1
                counts["too_long"] += answers_too_long(question, sample["text"])
    commits = sorted({run.manifest["git"]["commit"] for run in runs})
    return {
        "command": "python scripts/forgotten_texts.py runs/ablations/runs",
        "runs": [run.path.name for run in runs],
        "commits": commits,
        "failures": counts["failures"],
        "too_long": counts["too_long"],
    }


def sentence(record: dict[str, object]) -> str:
    """As the page has it."""
    runs = record["runs"]
    assert isinstance(runs, list)  # noqa: S101  (narrows the type)
    return (
        f"Of {record['failures']} failures on easy problems in these {len(runs)} runs of "
        f"`{PROTOCOL}`, {record['too_long']} have every step right and an answer that goes on "
        f"after the right one (`{record['command']}`)."
    )


if __name__ == "__main__":
    main()
