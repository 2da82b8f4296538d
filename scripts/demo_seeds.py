"""Run the demo over several seeds and record the outcome under ``results/demo_seeds/``.

``make demo-seeds`` calls it. Each seed is one whole demo (GRPO and RePO from the shipped base); the
record holds every seed's figures, mean and 95 % t interval over seeds, and what identifies the
runs: command, commit, versions, seeds, hardware.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rephrase_rl.runs import RunDirectory, atomic
from rephrase_rl.statistics import seed_mean_interval

ARMS = ("base", "grpo", "repo")
BENCHMARKS = ("hard", "easy", "general")


def main() -> None:
    """Run, gather, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/demo_seeds"))
    parser.add_argument("--out", type=Path, default=Path("results/demo_seeds"))
    options = parser.parse_args()
    seeds = list(range(options.seeds))
    statuses = {seed: run_demo(seed, options.runs / str(seed)) for seed in seeds}
    summaries = [read_summary(options.runs / str(seed)) for seed in seeds]
    manifest = RunDirectory.open(options.runs / "0" / "repo").manifest
    record: dict[str, Any] = {
        "command": "make demo-seeds",
        "seeds": seeds,
        "passed": [seed for seed, status in statuses.items() if status == 0],
        "per_seed": summaries,
        "over_seeds": {
            arm: {name: over_seeds(summaries, arm, name) for name in BENCHMARKS} for arm in ARMS
        },
        **{
            key: manifest[key]
            for key in ("git", "versions", "hardware", "started_at", "deviations")
        },
    }
    options.out.mkdir(parents=True, exist_ok=True)
    atomic.write_text(options.out / "card.json", json.dumps(record, indent=2) + "\n")
    atomic.write_text(options.out / "card.md", as_markdown(record))
    print(as_markdown(record))


def run_demo(seed: int, out: Path) -> int:
    """One demo; its exit status says whether the expected learning was seen (0) or not (1)."""
    command = ["demo", "--seed", str(seed), "--out", str(out)]
    program = "from rephrase_rl.cli.main import run; run()"
    status = subprocess.run([sys.executable, "-c", program, *command], check=False).returncode
    if status not in (0, 1):
        raise SystemExit(f"the demo with seed {seed} broke off with status {status}")
    return status


def read_summary(folder: Path) -> dict[str, Any]:
    """What one demo measured."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def over_seeds(summaries: list[dict[str, Any]], arm: str, benchmark: str) -> dict[str, float]:
    """Mean and 95 % interval over seeds of one figure."""
    interval = seed_mean_interval([s["arms"][arm][benchmark]["mean"] for s in summaries])
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def as_markdown(record: dict[str, Any]) -> str:
    """The record as a page."""
    lines = [
        "# The demo over seeds",
        "",
        f"Made by `{record['command']}`. Share of correct samples at T = 1 on held-out problems;",
        "mean and 95 % t interval over seeds of training (the base policy is one and the same; its",
        "spread is that of sampling).",
        "",
        "| arm | hard | easy | general |",
        "|---|---|---|---|",
    ]
    for arm, by_name in record["over_seeds"].items():
        cells = [f"{v['mean']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for v in by_name.values()]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    lines += ["", "| seed | " + " | ".join(f"{a} {b}" for a in ARMS[1:] for b in BENCHMARKS)]
    lines[-1] += " | repo tokens | grpo tokens | repo s | grpo s | as expected |"
    lines.append("|---" * 12 + "|")
    for seed, summary in zip(record["seeds"], record["per_seed"], strict=True):
        arms = summary["arms"]
        cells = [f"{arms[a][b]['mean']:.3f}" for a in ARMS[1:] for b in BENCHMARKS]
        cells += [f"{arms[a]['generated_tokens']:,}" for a in ("repo", "grpo")]
        cells += [f"{arms[a]['wall_s']:.0f}" for a in ("repo", "grpo")]
        cells.append("yes" if seed in record["passed"] else "no")
        lines.append(f"| {seed} | {' | '.join(cells)} |")
    git, hardware = record["git"], record["hardware"]
    lines += [
        "",
        f"Commit {git['commit']}{' (with changes)' if git['dirty'] else ''}, started "
        f"{record['started_at']}, hardware {json.dumps(hardware)}.",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in record["versions"].items()) + ".",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
