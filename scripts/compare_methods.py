"""Train four methods with several seeds on the lab, compare them, and record the comparison.

``make compare-methods`` calls it. The runs are the demo's but for method, seed and how often they
are evaluated. Writes ``results/compare_methods/`` and the tables of ``docs/compare.md``.
"""

from __future__ import annotations

import argparse
import runpy
import shutil
from pathlib import Path

from rephrase_rl.reports import ComparisonQuestions, write_comparison
from rephrase_rl.runs import atomic

METHODS = ("grpo", "sft", "luffy", "repo")
SHARED = runpy.run_path(str(Path(__file__).with_name("method_table.py")))
KEPT = ("easy", "general")
"""Benchmarks that the base policy solves, so that training can only lose there."""
THRESHOLD = 0.5
EVERY_STEPS = 5
PAGE = Path("docs/compare.md")
START, END = "<!-- comparison -->", "<!-- /comparison -->"
SHOWN = ("Results", "Tests", "Gain", "Time", "Budgets")
"""Sections of the comparison that the page shows, by the first word of their headings."""


def main() -> None:
    """Train what is not there yet, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="fewer steps than the demo; nothing is published")
    parser.add_argument("--runs", type=Path, default=Path("runs/compare_methods"))
    parser.add_argument("--out", type=Path, default=Path("results/compare_methods"))
    options = parser.parse_args()
    paths = []
    for seed in range(options.seeds):
        for method in METHODS:
            paths.append(options.runs / f"{method}-{seed}")
            train(method, seed, paths[-1], options.steps)
    # By method, so that tables list the arms in the order in which they are named above.
    paths.sort(key=lambda path: METHODS.index(path.name.partition("-")[0]))
    questions = ComparisonQuestions(general=KEPT, threshold=THRESHOLD)
    made = write_comparison(paths, options.runs / "comparison", questions)
    text = made.comparison_markdown.read_text(encoding="utf-8")
    print(text)
    print(made.index)
    if options.steps is None:
        publish(made.index.parent, options.out, text)


def train(method: str, seed: int, run_path: Path, steps: int | None) -> None:
    """One run, unless it is there and finished."""
    changes = [f"method={method}", f"seed={seed}", f"evaluation.every_steps={EVERY_STEPS}"]
    if steps is not None:
        changes.append(f"trainer.max_steps={steps}")
    SHARED["run_demo"](run_path, changes)


def publish(comparison: Path, out: Path, text: str) -> None:
    """Copy card and picture to the results, and the tables into the page."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(comparison / "comparison.json", out / "card.json")
    shutil.copyfile(comparison / "trilemma.svg", out / "trilemma.svg")
    atomic.write_text(out / "card.md", "Made by `make compare-methods`.\n\n" + text)
    SHARED["put_between"](PAGE, START, END, shown(text))


def shown(text: str) -> str:
    """The sections for the page, their headings one level lower."""
    sections = [part for part in text.split("\n## ")[1:] if part.split()[0] in SHOWN]
    return "\n".join(f"### {section.strip()}\n" for section in sections)


if __name__ == "__main__":
    main()
