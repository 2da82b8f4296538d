"""Train on the lab with a reward of one's own beside the verifier: right, and not too long.

    python examples/custom_reward.py --steps 10 --out runs/custom-reward

In a configuration file the same reward is

    rewards:
      - {verifier: exact}
      - {verifier: "examples/custom_reward.py:brevity", weight: 0.1, options: {limit: 40}}
    guidance: {correctness: exact}

A function gets the completion and the reference answer and returns a number, or None where it
cannot judge; a class with ``name``, ``verify`` and ``close`` sees whole batches.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rephrase_rl import RunDirectory, parse_config, train_run


def brevity(completion: str, reference_answer: str, limit: int = 40) -> float | None:
    """1 for an empty text, 0 for one of ``limit`` characters or more."""
    return max(0.0, 1.0 - len(completion) / limit)


def main() -> None:
    """Train, and print both rewards step by step."""
    parser = argparse.ArgumentParser(description="Train on the lab with a custom reward.")
    parser.add_argument("--steps", type=int, default=10, help="optimiser steps")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/custom-reward"), help="run directory"
    )
    args = parser.parse_args()
    config = parse_config(
        {
            "method": "repo",
            "model": {"path": "lab:base"},
            "data": {"path": "lab:mixed", "limit": 64},
            "rewards": [
                {"verifier": "exact"},
                {
                    "verifier": f"{Path(__file__).resolve()}:brevity",
                    "weight": 0.1,
                    "options": {"limit": 40},
                },
            ],
            # The verifier decides what failed; the gate must not mistake a long solution for one.
            "guidance": {"correctness": "exact"},
            "trainer": {
                "max_steps": args.steps,
                "num_generations": 4,
                "per_device_train_batch_size": 16,
                "max_completion_length": 48,
                "learning_rate": 2e-4,
            },
        }
    )
    train_run(config, run_path=args.out, command=["custom_reward.py"], overwrite=True)
    for step in RunDirectory.open(args.out).steps():
        exact, short = (step.metrics[f"rewards/{name}/mean"] for name in ("exact", "brevity"))
        print(f"step {step.step}: exact {exact:.3f}, brevity {short:.3f}")


if __name__ == "__main__":
    main()
