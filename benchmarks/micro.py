"""What guidance itself costs: core functions, the guidance step without a model, and records.

Sampling and training dominate a real step; these figures show that the rest stays small. Every
figure is the median of 5 repetitions with the smallest and largest beside it, on one thread, after
a warm-up. Say machine, versions and commit (printed) with any figure that is quoted.

    python benchmarks/micro.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from scripted import GROUP, TEXT, TOKENS, ScriptedEngine, rollout_groups

from rephrase_rl import preset_guidance
from rephrase_rl.core.advantages import group_advantages
from rephrase_rl.core.gates import failed_share_gate
from rephrase_rl.core.objectives import clipped_surrogate
from rephrase_rl.core.reduction import reduce_loss
from rephrase_rl.guidance.blocks import Guidance, StepContext
from rephrase_rl.guidance.recording import group_record
from rephrase_rl.guidance.step import guide
from rephrase_rl.prompts import remove_meta_text
from rephrase_rl.runs import RunDirectory, collect_manifest

PROBLEMS = 64
"""A step of 64 problems x 8 rollouts of 512 tokens."""
REPETITIONS = 5


def main() -> None:
    """Time everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of one repetition")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = {
        name: measure(work, options.seconds)
        for name, work in (core_cases() | guidance_cases()).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        records = record_cases(Path(folder))
        figures |= {name: measure(work, options.seconds) for name, work in records.items()}
    about = collect_manifest("benchmarks/micro.py", seed=0)
    print(f"{about['hardware']['cpu']}, commit {about['git']['commit']}")
    print(f"torch {about['versions']['torch']}, one thread; milliseconds a call\n")
    for name, (median, low, high) in figures.items():
        print(f"{name:<58} {median:9.3f}  ({low:.3f} to {high:.3f})")
    if options.json:
        options.json.write_text(json.dumps({"about": about, "milliseconds": figures}, indent=2))


def measure(work: Callable[[], object], seconds: float) -> tuple[float, float, float]:
    """Median, smallest and largest milliseconds a call."""
    started = time.perf_counter()
    work()
    once = time.perf_counter() - started
    calls = max(1, int(seconds / max(once, 1e-7)))
    times = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        times.append(1000.0 * (time.perf_counter() - started) / calls)
    return statistics.median(times), min(times), max(times)


def core_cases() -> dict[str, Callable[[], object]]:
    """Pure functions on the tensors of one step."""
    generator = torch.Generator().manual_seed(0)
    rewards_PG = torch.randint(0, 2, (PROBLEMS, GROUP), generator=generator).float()
    logps_BT = -torch.rand(PROBLEMS * GROUP, TOKENS, generator=generator)
    old_logps_BT = logps_BT + 0.1 * torch.randn(logps_BT.shape, generator=generator)
    mask_BT = torch.ones_like(logps_BT, dtype=torch.bool)
    advantages_B = group_advantages(rewards_PG).reshape(-1)
    logps_BT.requires_grad_(True)

    def loss() -> None:
        ratio_BT = torch.exp(logps_BT - old_logps_BT)
        loss_BT = clipped_surrogate(ratio_BT, advantages_B, mask_BT)
        reduce_loss(loss_BT, mask_BT).backward()
        logps_BT.grad = None

    size = f"({PROBLEMS}, {GROUP})"
    return {
        f"core: advantages {size}": lambda: group_advantages(rewards_PG),
        f"core: failed-share gate {size}": lambda: failed_share_gate(rewards_PG),
        f"core: surrogate, reduction, backward ({PROBLEMS * GROUP}, {TOKENS})": loss,
    }


def guidance_cases() -> dict[str, Callable[[], object]]:
    """The guidance step around an engine that takes no time."""
    groups = rollout_groups(PROBLEMS, 0.5)
    context = StepContext(step=0)
    engine = ScriptedEngine()
    repo, grpo = preset_guidance("repo"), Guidance()
    return {
        f"guidance: step of repo, half of {PROBLEMS} groups rescued": lambda: guide(
            groups, repo, engine, context
        ),
        f"guidance: step of grpo, {PROBLEMS} groups": lambda: guide(groups, grpo, engine, context),
        f"prompts: removal of meta text, {len(TEXT)} characters": lambda: remove_meta_text(TEXT),
    }


def record_cases(folder: Path) -> dict[str, Callable[[], object]]:
    """Writing the groups of one step."""
    run = RunDirectory.create(folder / "run", collect_manifest("benchmark", seed=0), "{}\n")
    context = StepContext(step=0)
    guided = guide(
        rollout_groups(PROBLEMS, 0.5), preset_guidance("repo"), ScriptedEngine(), context
    )
    advantages = [0.0] * GROUP
    records = [group_record(group, advantages, context) for group in guided]
    return {f"runs: {PROBLEMS} groups appended": lambda: run.append_groups(records)}


if __name__ == "__main__":
    main()
