"""What RePO adds to a GRPO step: trainers that take their steps in turn, in one thread.

The same as ``grpo_step.py`` (models, arms, phases), but a machine that is slower for a minute is so
for every arm: step i of all arms is taken before step i + 1 of any. Trainers are coroutines of one
thread, so that they share its workers, its memory and its caches: threads of their own would each
keep a pool of workers, and the memory of a waiting process grows cold. So small differences show:
the ratio of each arm's step to the first arm's of the same round, its mean with a 95 % bootstrap
interval. Peak memory is not told apart.

    python benchmarks/interleaved.py --model smollm2 --rows 64 --rounds 30 --json OUT
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from greenlet import getcurrent, greenlet
from grpo_step import ARMS, PHASES, SHAPES, build, instrument, mark_steps, spread, steps_between


def main() -> None:
    """Take the rounds and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=SHAPES, default="smollm2")
    parser.add_argument("--rows", type=int, default=64, help="rollouts of one step")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--warm-up", type=int, default=1, help="rounds before, not counted")
    parser.add_argument(
        "--arms", nargs="+", choices=ARMS, default=["grpo", "repo-closed", "repo-open"]
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all figures here too")
    options = parser.parse_args()
    options.steps = options.rounds
    report(options, rounds(options))


def rounds(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Seconds of every step of every arm."""
    import torch

    torch.set_num_threads(options.threads)
    steps: dict[str, list[dict[str, float]]] = {arm: [] for arm in options.arms}
    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            arm: greenlet(lambda arm=arm: train(options, arm, Path(folder) / arm))
            for arm in options.arms
        }
        for number in range(options.warm_up + options.rounds):
            for arm, trainer in trainers.items():
                step = trainer.switch()
                if number >= options.warm_up:
                    steps[arm].append(step)
            line = ", ".join(f"{arm} {own[-1]['at']:.2f} s" for arm, own in steps.items() if own)
            print(f"round {number}: {line or 'warm-up'}", flush=True)
    return steps


def train(options: argparse.Namespace, arm: str, folder: Path) -> None:
    """Train one arm; after each step its seconds go to the caller, who has the turn then."""
    import torch

    torch.manual_seed(0)
    trainer = build(argparse.Namespace(**{**vars(options), "worker": arm}), folder)
    marks: list[dict[str, float]] = []
    clock = mark_steps(marks, instrument(trainer))

    class InTurn(type(clock)):  # type: ignore[misc]
        """Reads the clocks within the turn alone."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """The end of a step, and the start of the next once the turn has come again."""
            super().on_step_end(args, state, control, **kwargs)
            getcurrent().parent.switch(steps_between(marks[-2:])[0])
            super().on_step_end(args, state, control, **kwargs)

    trainer.add_callback(InTurn())
    trainer.train()


def report(options: argparse.Namespace, steps: dict[str, list[dict[str, float]]]) -> None:
    """Print seconds by phase, and ratios to the first arm."""
    from rephrase_rl.runs import collect_manifest

    about = collect_manifest("benchmarks/interleaved.py", seed=0)
    print(f"{about['hardware']['cpu']}, {options.threads} threads, torch ", end="")
    print(f"{about['versions']['torch']}, trl {about['versions']['trl']}, commit ", end="")
    print(f"{about['git']['commit']}{' with changes' if about['git']['dirty'] else ''}")
    print(f"{options.model}, {options.rows} rows; median (smallest to largest) of {options.rounds}")
    names = ("at", *PHASES)
    print("\n| arm | step | " + " | ".join(PHASES) + " |\n|" + "---|" * (len(names) + 1))
    for arm, own in steps.items():
        print(f"| {arm} | {' | '.join(spread([step[n] for step in own]) for n in names)} |")
    first = options.arms[0]
    ratios = {}
    for arm in options.arms[1:]:
        values = [a["at"] / b["at"] for a, b in zip(steps[arm], steps[first], strict=True)]
        ratios[arm] = {"values": values, "mean": statistics.fmean(values), "ci95": interval(values)}
        low, high = ratios[arm]["ci95"]
        print(f"{arm} / {first}: {ratios[arm]['mean']:.4f} [{low:.4f}, {high:.4f}]")
    if options.json:
        settings = {k: v for k, v in vars(options).items() if k not in ("json", "steps")}
        record = {"about": about, "settings": settings, "steps": steps, "ratios": ratios}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=2) + "\n")


def interval(values: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval (BCa) of the mean."""
    import numpy as np
    from scipy.stats import bootstrap

    if len(values) < 3:
        return min(values), max(values)
    found = bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return float(found.low), float(found.high)


if __name__ == "__main__":
    main()
