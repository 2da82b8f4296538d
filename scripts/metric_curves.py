"""Train on the lab once as it should be and in three ways that go wrong, and draw the curves.

``make metric-curves`` calls it. The runs are the demo's but for what ``RUNS`` changes, and are not
evaluated. Writes ``results/metric_curves/card.json`` and ``docs/_static/curves.svg``, which
``docs/metrics.md`` shows. ``--draw`` draws again from the card.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from rephrase_rl.runs import RunDirectory, atomic, jsonl

CONFIG = Path("src/rephrase_rl/cli/demo.yaml")
PICTURE = Path("docs/_static/curves.svg")
NOT_EVALUATED = (
    "evaluation.before=false",
    "evaluation.every_steps=null",
    "evaluation.benchmarks=[]",
)
RUNS: dict[str, tuple[str, ...]] = {
    "healthy: RePO": (),
    "GRPO: nothing to learn from": ("method=grpo",),
    "rate 10 times too high": ("trainer.learning_rate=2.0e-3",),
    "length limit too short": ("trainer.max_completion_length=16",),
}
"""Name -> changes of the demo's configuration."""
METRICS = (
    "groups/all_failed_fraction",
    "groups/no_signal_fraction",
    "injection/accept_fraction",
    "completions/clipped_ratio",
    "entropy",
    "grad_norm",
)
STYLES = (("#1e8449", "-"), ("#2d5fa8", "--"), ("#c0392b", "-."), ("#8a5a00", ":"))
"""Colour and line of each run: told apart without colours too."""


def main() -> None:
    """Train, gather, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/metric_curves"))
    parser.add_argument("--out", type=Path, default=Path("results/metric_curves"))
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--draw", action="store_true", help="draw again from the card")
    options = parser.parse_args()
    card = options.out / "card.json"
    if not options.draw:
        record = gather(options.runs)
        options.out.mkdir(parents=True, exist_ok=True)
        atomic.write_text(card, json.dumps(record, indent=1) + "\n")
    draw(json.loads(card.read_text(encoding="utf-8")), options.picture)
    print(card, options.picture)


def gather(folder: Path) -> dict[str, Any]:
    """Train what is not there yet; every run's curves, and what identifies them."""
    curves = {}
    for number, (name, changes) in enumerate(RUNS.items()):
        path = folder / str(number)
        if not (path / "summary.json").is_file():
            train(path, changes)
        steps = list(jsonl.read_lines(path / "steps.jsonl"))
        curves[name] = {
            "changes": list(changes),
            "steps": {metric: [rounded(step, metric) for step in steps] for metric in METRICS},
        }
    manifest = RunDirectory.open(folder / "0").manifest
    facts = {key: manifest[key] for key in ("git", "versions", "hardware", "started_at")}
    return {"command": "make metric-curves", "config": str(CONFIG), "runs": curves, **facts}


def rounded(step: dict[str, Any], metric: str) -> float | None:
    """One figure of one step, to four digits; None where the step has none."""
    value = step["metrics"].get(metric)
    return None if value is None else float(f"{value:.4g}")


def train(path: Path, changes: tuple[str, ...]) -> None:
    """One run in a process of its own."""
    words = ["train", str(CONFIG), "--overwrite"]
    for change in (*NOT_EVALUATED, *changes, f"output_dir={path}"):
        words += ["--set", change]
    program = "from rephrase_rl.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program, *words], check=False)
    if done.returncode:
        raise SystemExit(f"{path} broke off with status {done.returncode}")


def draw(record: dict[str, Any], file: Path) -> None:
    """Six small pictures on a ground of their own, so that they are read in the dark too."""
    mpl.rcParams |= {"svg.hashsalt": "curves", "svg.fonttype": "none", "font.size": 11}
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.2), layout="constrained")
    figure.patch.set_facecolor("#fafbfc")
    for metric, panel in zip(METRICS, axes.flat, strict=True):
        for (name, run), (colour, line) in zip(record["runs"].items(), STYLES, strict=True):
            values = [float("nan") if v is None else v for v in run["steps"][metric]]
            steps = range(1, len(values) + 1)
            panel.plot(steps, values, line, color=colour, label=name, linewidth=1.8)
        panel.set_title(metric, fontsize=11)
        panel.grid(visible=True, alpha=0.3)
        if metric.endswith(("fraction", "ratio")):
            panel.set_ylim(-0.03, 1.03)
        else:
            panel.set_yscale("symlog", linthresh=0.1)
    for panel in axes[1]:
        panel.set_xlabel("optimiser step")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
