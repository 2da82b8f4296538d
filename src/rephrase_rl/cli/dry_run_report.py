"""How ``train --dry-run`` tells what a run would be: the run, then its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.cli.console import output
from rephrase_rl.cli.data_report import print_check

if TYPE_CHECKING:
    from rephrase_rl.assembly import DryRun


def print_dry_run(found: DryRun, run_path: Path) -> None:
    """Print everything: the run, its sets and benchmarks, prompts and token budgets."""
    output.print(f"{found.method} on {found.model}, run directory {run_path}")
    output.print(f"  trained: {found.trained}")
    for block, kinds in found.blocks:
        output.print(f"  {block}: {kinds}")
    output.print(_steps(found))
    for each in found.sets:
        drawn = "" if each.drawn == each.problems else f", drawn {each.drawn:,} times"
        output.print(
            f"set {each.name}: {each.problems:,} problems{drawn}, {each.with_expert:,} with an "
            f"expert, judged by {each.verifier}, gate {each.gate}"
        )
    for name, problems, samples in found.benchmarks:
        output.print(f"benchmark {name}: {problems:,} problems x {samples}")
    print_check(found.check)
    output.print("dry run: no weights were loaded, nothing was sampled and nothing was written")


def _steps(found: DryRun) -> str:
    rows = f"{found.problems_per_step:g} texts"
    if found.rollouts_per_problem:
        rows = f"{found.problems_per_step:g} problems x {found.rollouts_per_problem} rollouts"
    length = "" if found.epochs is None else f", epochs {found.epochs:g}"
    processes = "1 process" if found.processes == 1 else f"{found.processes} processes"
    return f"steps: {found.steps:,} of {rows}, over {processes}{length}"
