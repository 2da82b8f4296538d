"""Adapters beside full training at the demo's setting, by rate, into ``docs/lora.md``.

``make lora-lab`` calls it. One seed: the table shows what a rate does to adapters, and what they
cost; how far a figure would move with another seed it cannot say.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
from pathlib import Path
from typing import Any

from rephrase_rl.runs import RunDirectory

SHARED = runpy.run_path(str(Path(__file__).with_name("method_table.py")))
BENCHMARKS, figures, run_demo = SHARED["BENCHMARKS"], SHARED["figures"], SHARED["run_demo"]
LORA = ("model.lora.r=16", "model.lora.alpha=32")
FULL_RATE = "2e-4"
"""The demo's, at which all weights are trained."""
RATES = ("2e-4", "1e-3", "2e-3", "5e-3")
"""Of adapters: that one, and 5, 10 and 25 times as much."""
BASE, FULL = "base", "all weights"
PAGE = Path("docs/lora.md")
START, END = "<!-- lora-lab -->", "<!-- /lora-lab -->"


def main() -> None:
    """Train what is not there yet, gather, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="fewer steps than the demo; nothing is published")
    parser.add_argument("--runs", type=Path, default=Path("runs/lora_lab"))
    parser.add_argument("--out", type=Path, default=Path("results/lora_lab"))
    options = parser.parse_args()
    for name, changes in arms().items():
        more = [f"seed={options.seed}", f"evaluation.before={str(name == FULL).lower()}", *changes]
        if options.steps is not None:
            more.append(f"trainer.max_steps={options.steps}")
        run_demo(options.runs / folder_of(name), more)
    record = gather(options.runs, options.seed)
    text = "\n".join(table(record))
    print(text)
    if options.steps is not None:
        return
    SHARED["publish"](record, text, options.out, "Adapters beside full training on the lab")
    SHARED["put_between"](PAGE, START, END, text)


def arms() -> dict[str, list[str]]:
    """Name of a run -> changes to the demo."""
    adapters = {f"adapters, {rate}": [f"trainer.learning_rate={rate}", *LORA] for rate in RATES}
    return {FULL: [f"trainer.learning_rate={FULL_RATE}"], **adapters}


def folder_of(name: str) -> str:
    """Of a run."""
    return name.replace(", ", "-").replace(" ", "-")


def gather(runs: Path, seed: int) -> dict[str, Any]:
    """Figures of all runs, and what identifies them."""
    first = RunDirectory.open(runs / folder_of(FULL))
    rows: dict[str, Any] = {BASE: {name: figures(first, 0, name) for name in BENCHMARKS}}
    for name in arms():
        run = RunDirectory.open(runs / folder_of(name))
        steps, timings = run.steps(), [row.timings for row in run.timings()]
        weights = (run.path / "checkpoints" / "final").glob("*.safetensors")
        adapter = run.manifest.get("adapter")
        rows[name] = {
            benchmark: figures(run, len(steps), benchmark) for benchmark in BENCHMARKS
        } | {
            "steps": len(steps),
            "trained_parameters": run.manifest["policy"]["parameters"]
            if adapter is None
            else adapter["trained_parameters"],
            "accepted": sum(step.metrics.get("injection/accepted") or 0.0 for step in steps),
            "step_s": statistics.median(row["time/step_s"] for row in timings),
            "wall_s": run.summary["wall_s"],
            "peak_bytes": max(row["memory/host_peak_bytes"] for row in timings),
            "policy_bytes": sum(path.stat().st_size for path in weights),
        }
    made_with = SHARED["identity"](first)
    return {"command": "make lora-lab", "seeds": [seed], "rows": rows, **made_with}


def table(record: dict[str, Any]) -> list[str]:
    """The table and the sentence that says what it is."""
    lines = [
        f"`{record['command']}`, one seed ({record['seeds'][0]}); "
        "[card](../results/lora_lab/card.md). RePO, adapters of rank 16 on all linear layers.",
        "Share of correct samples at T = 1 on held-out problems, with 95 % interval over problems;",
        f"seconds are of training, threads: {record['threads']}; memory is the process's largest, "
        "libraries included; kB are those of the saved policy.",
        "",
        "| trained, rate | parameters | hard | easy | general | accepted | seconds | GB | kB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in record["rows"].items():
        scores = [
            f"{row[b]['mean']:.3f} [{row[b]['low']:.2f}, {row[b]['high']:.2f}]" for b in BENCHMARKS
        ]
        cells = [name if name != FULL else f"{FULL}, {FULL_RATE}", "", *scores, "", "", "", ""]
        if name != BASE:
            cells[1] = f"{row['trained_parameters']:,}"
            cells[-4:] = [
                f"{row['accepted']:.0f}",
                f"{row['wall_s']:.0f}",
                f"{row['peak_bytes'] / 1e9:.2f}",
                f"{row['policy_bytes'] / 1e3:,.0f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
