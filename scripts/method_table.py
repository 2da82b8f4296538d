"""Train every method at the demo's setting and put the table into ``docs/methods.md``.

``make method-table`` calls it. One seed: the table shows that every method runs, and what it does
to the lab's base policy in as many steps as the demo has; which method is better it cannot say.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rephrase_rl.methods import PRESETS
from rephrase_rl.runs import RunDirectory, atomic

BENCHMARKS = ("hard", "easy", "general")
CONFIG = Path("src/rephrase_rl/cli/demo.yaml")
BASE = "base"
PAGE = Path("docs/methods.md")
START, END = "<!-- method-table -->", "<!-- /method-table -->"


def main() -> None:
    """Train what is not there yet, gather, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="fewer steps than the demo; nothing is published")
    parser.add_argument("--runs", type=Path, default=Path("runs/method_table"))
    parser.add_argument("--out", type=Path, default=Path("results/method_table"))
    options = parser.parse_args()
    for method in PRESETS:
        train(method, options.runs / method, options.seed, options.steps)
    record = gather(options.runs, options.seed)
    text = "\n".join(table(record))
    print(text)
    if options.steps is not None:
        return
    publish(record, text, options.out, "Every method at the demo's setting")
    put_between(PAGE, START, END, text)


def train(method: str, run_path: Path, seed: int, steps: int | None) -> None:
    """One run, unless it is there and finished."""
    changes = [f"method={method}", f"seed={seed}"]
    # The base is the same for all: the first run evaluates it.
    changes.append(f"evaluation.before={'true' if method == next(iter(PRESETS)) else 'false'}")
    if steps is not None:
        changes.append(f"trainer.max_steps={steps}")
    run_demo(run_path, changes)


def run_demo(run_path: Path, changes: list[str]) -> None:
    """The demo's run with some changes in a process of its own, unless it is there and finished."""
    if (run_path / "summary.json").is_file():
        return
    changes = [f"output_dir={run_path}", "evaluation.every_steps=null", *changes]
    program = "from rephrase_rl.cli.main import run; run()"
    command = ["train", str(CONFIG), "--overwrite"]
    command += [part for change in changes for part in ("--set", change)]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program, *command], check=False)
    if done.returncode:
        raise SystemExit(f"{run_path.name} broke off with status {done.returncode}")


def gather(runs: Path, seed: int) -> dict[str, Any]:
    """Figures of all runs, and what identifies them."""
    first = RunDirectory.open(runs / next(iter(PRESETS)))
    rows: dict[str, Any] = {BASE: {name: figures(first, 0, name) for name in BENCHMARKS}}
    for method in PRESETS:
        run = RunDirectory.open(runs / method)
        steps = run.steps()
        rows[method] = {name: figures(run, len(steps), name) for name in BENCHMARKS} | {
            "steps": len(steps),
            "sampled_tokens": int(
                sum(
                    step.metrics.get(name) or 0.0
                    for step in steps
                    for name in ("tokens/rollout", "tokens/rephrase")
                )
            ),
            "accepted": sum(step.metrics.get("injection/accepted") or 0.0 for step in steps),
            "seconds": json.loads((runs / method / "summary.json").read_text())["wall_s"],
        }
    return {"command": "make method-table", "seeds": [seed], "rows": rows, **identity(first)}


def identity(run: RunDirectory) -> dict[str, Any]:
    """What a run was made with."""
    named = {key: run.manifest[key] for key in ("git", "versions", "hardware", "started_at")}
    return {"threads": os.environ.get("OMP_NUM_THREADS", "all"), **named}


def figures(run: RunDirectory, step: int, benchmark: str) -> dict[str, float]:
    """Accuracy with its interval over problems."""
    result = json.loads((run.path / "evals" / str(step) / benchmark / "result.json").read_text())
    interval = result["avg_at_k"]
    return {key: interval[key] for key in ("mean", "low", "high")}


def table(record: dict[str, Any]) -> list[str]:
    """The table and the sentence that says what it is."""
    lines = [
        f"`{record['command']}`, one seed ({record['seeds'][0]}); "
        "[card](../results/method_table/card.md).",
        "Share of correct samples at T = 1 on held-out problems, with 95 % interval over problems;",
        "`learning_rate` is the demo's 2e-4 for every method, which is tuned for none of them.",
        "",
        "| method | hard | easy | general | accepted | sampled tokens | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, row in record["rows"].items():
        cells = [
            f"{row[b]['mean']:.3f} [{row[b]['low']:.2f}, {row[b]['high']:.2f}]" for b in BENCHMARKS
        ]
        if method == BASE:
            cells += ["", "", ""]
        else:
            cells += [
                f"{row['accepted']:.0f}",
                f"{row['sampled_tokens']:,}",
                f"{row['seconds']:.0f}",
            ]
        lines.append(f"| {method if method == BASE else f'`{method}`'} | {' | '.join(cells)} |")
    return lines


def publish(record: dict[str, Any], text: str, out: Path, title: str) -> None:
    """Write the card of a table of runs, as data and as a page."""
    git = record["git"]
    lines = [
        f"# {title}",
        "",
        text.replace(f"; [card](../results/{out.name}/card.md)", ""),
        "",
        f"Commit {git['commit']}{' (with changes)' if git['dirty'] else ''}, started "
        f"{record['started_at']}, threads {record['threads']}, hardware "
        f"{json.dumps(record['hardware'])}.",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in record["versions"].items()) + ".",
        "",
    ]
    out.mkdir(parents=True, exist_ok=True)
    atomic.write_text(out / "card.json", json.dumps(record, indent=2) + "\n")
    atomic.write_text(out / "card.md", "\n".join(lines))


def put_between(page: Path, start: str, end: str, text: str) -> None:
    """Put a generated part into a document."""
    before, _, rest = page.read_text(encoding="utf-8").partition(start)
    _, _, after = rest.partition(end)
    atomic.write_text(page, f"{before}{start}\n{text}\n{end}{after}")


if __name__ == "__main__":
    main()
