"""Train on the lab with a gate of one's own: intervene only where a problem keeps failing.

    python examples/custom_gate.py --steps 10 --out runs/custom-gate

In a configuration file the same gate is

    guidance: {gate: {kind: custom, target: "examples/custom_gate.py:PatientGate"}}

and in Python ``Guidance(gate=PatientGate(), ...)``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from rephrase_rl import RolloutGroup, RunDirectory, StepContext, parse_config, train_run


@dataclass(frozen=True)
class PatientGate:
    """Opens where all rollouts fail, and failed at as many earlier visits as ``visits``."""

    visits: int = 1

    def __call__(self, group: RolloutGroup, context: StepContext) -> bool:
        """Whether the policy may read the expert's solution of this problem."""
        earlier = context.history(group.problem.problem_id)
        fails_now = all(correctness < 0.5 for correctness in group.correctness)
        return fails_now and len(earlier) >= self.visits and not any(earlier[-self.visits :])


def main() -> None:
    """Train, and say when the gate opened."""
    parser = argparse.ArgumentParser(description="Train on the lab with a custom gate.")
    parser.add_argument("--steps", type=int, default=10, help="optimiser steps")
    parser.add_argument("--visits", type=int, default=1, help="earlier visits that failed")
    parser.add_argument("--out", type=Path, default=Path("runs/custom-gate"), help="run directory")
    args = parser.parse_args()
    config = parse_config(
        {
            "method": "repo",
            "model": {"path": "lab:base"},
            # Few problems, so that each is visited several times.
            "data": {"path": "lab:hard", "limit": 8},
            "guidance": {
                "gate": {
                    "kind": "custom",
                    "target": f"{Path(__file__).resolve()}:PatientGate",
                    "options": {"visits": args.visits},
                }
            },
            "trainer": {
                "max_steps": args.steps,
                "num_generations": 4,
                "per_device_train_batch_size": 16,
                "max_completion_length": 48,
                "learning_rate": 2e-4,
            },
        }
    )
    train_run(config, run_path=args.out, command=["custom_gate.py"], overwrite=True)
    for step in RunDirectory.open(args.out).steps():
        share = step.metrics["gate/open_fraction"]
        accepted = step.metrics["injection/accepted"]
        print(f"step {step.step}: gate open for {share:.0%}, {accepted:.0f} rewrites accepted")


if __name__ == "__main__":
    main()
