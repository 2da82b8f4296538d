"""Fill the marked blocks of ``recipes/README.md`` and ``docs/lora.md`` with what is predicted.

What stands there is what ``rephrase-rl plan`` prints for the recipes.

No weights, data or GPU are needed: the recipes for GPUs carry
the sizes of their models and the lengths they expect under ``plan:``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.assembly.plan_inputs import plan_run
from rephrase_rl.cli.plan_tables import duration, gigabytes, seconds
from rephrase_rl.config import load_config
from rephrase_rl.methods import resolve_config, resolve_guidance
from rephrase_rl.runs import atomic
from rephrase_rl.trainers.trl.arguments import grpo_arguments
from rephrase_rl.trainers.trl.steps import grpo_steps

if TYPE_CHECKING:
    from rephrase_rl.config import RunConfig
    from rephrase_rl.planning import Plan

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "recipes" / "README.md"
ADAPTERS = ROOT / "docs" / "lora.md"
TRAINED = {
    "all weights, float32": [],
    "all weights, bfloat16 (steps of 1e-6 are lost)": ["model.dtype=bfloat16"],
    "`lora: {r: 16}` on float32": ["model.lora.r=16"],
    "`lora: {r: 16}` on bfloat16": ["model.lora.r=16", "model.dtype=bfloat16"],
    "`lora: {r: 16}`, `load_in_4bit`": [
        *("model.lora.r=16", "model.dtype=bfloat16", "model.load_in_4bit=true"),
    ],
}
"""What is trained -> changes to the paper's recipe."""
ALONE = ("trainer.use_vllm=false", "plan.devices=1", "plan.sharding=ddp")
"""One GPU, nothing beside training."""
PROBLEMS = {"openr1_hard": 18_000, "supergpqa": 11_000, "finance_mixture": 11_300}
"""Rows of a recipe's training set by the start of its name; a mixture's as it is drawn, about."""


def main() -> None:
    """Write the blocks."""
    page = PAGE.read_text(encoding="utf-8")
    for family in PROBLEMS:
        page = replaced(page, family, prediction(family))
    atomic.write_text(PAGE, page)
    about = ADAPTERS.read_text(encoding="utf-8")
    atomic.write_text(ADAPTERS, replaced(about, "adapters", adapters()))


def replaced(page: str, family: str, text: str) -> str:
    """The page with another text between a block's two marks."""
    start, end = f"<!-- plan {family} -->", f"<!-- /plan {family} -->"
    before, _, rest = page.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{text.rstrip()}\n{end}{after}"


def prediction(family: str) -> str:
    """A table with one row for each recipe of a family, and the command that prints it in full."""
    lines = [
        "| recipe | a step | rollouts | rewrites | training | steps | run | GB of 76 "
        "| rewriting adds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    paths = sorted(PAGE.parent.glob(f"{family}_*_*.yaml"), reverse=True)
    lines += [row(path, PROBLEMS[family]) for path in paths]
    return "\n".join([*lines, "", f"    {command(paths[0])}"])


def adapters() -> str:
    """Memory of a 7B model in training by what is trained, and the command of one row."""
    name = "openr1_hard_qwen2.5_math_7b_repo.yaml"
    lines = [
        "| trained | parameters | weights | moments | gradients | the rest | together |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, changes in TRAINED.items():
        plan = plan_run(load_config(PAGE.parent / name, [*ALONE, *changes]), (1,))
        held, training = plan.memory.held, plan.memory.training
        together = sum(held.values()) + sum(training.values())
        shown = (held["weights"], held["optimiser"], training["gradients"])
        parts = [gigabytes(part) for part in (*shown, together - sum(shown), together)]
        lines.append(f"| {what} | {plan.setting.trained_parameters:,} | {' | '.join(parts)} |")
    last = " ".join(
        f"--set {change}" for change in (*ALONE, *TRAINED["`lora: {r: 16}` on bfloat16"])
    )
    return "\n".join([*lines, "", f"    rephrase-rl plan recipes/{name} {last}"])


def command(path: Path) -> str:
    """The command that prints a recipe's prediction in full."""
    return f"rephrase-rl plan {path.relative_to(ROOT).as_posix()}"


def row(path: Path, problems: int) -> str:
    """One recipe's figures."""
    config = load_config(path, [])
    plan = plan_run(config, (config.plan.devices,))
    steps = steps_of(config, problems)
    parts = {
        "rollouts": ("prompts", "rollouts"),
        "rewrites": ("rewrite prompts", "rewrites", "candidate log-probs"),
    }
    times = {name: time_of(plan, phases) for name, phases in parts.items()}
    training = plan.step_s - sum(times.values())
    cells = (
        path.stem,
        duration(plan.step_s),
        f"{seconds(times['rollouts'])} s",
        f"{seconds(times['rewrites'])} s",
        f"{seconds(training)} s",
        str(steps),
        duration(plan.step_s * steps),
        gigabytes(plan.memory.peak),
        added(plan),
    )
    return f"| {' | '.join(cells)} |"


def time_of(plan: Plan, phases: tuple[str, ...]) -> float:
    """Seconds of some phases."""
    return sum(phase.seconds for phase in plan.phases if phase.name in phases)


def added(plan: Plan) -> str:
    """What rewriting adds to GRPO's step, in the mode and at the share of open gates configured."""
    work = plan.setting.work
    if not work.samples_candidates:
        return ""
    for cost in plan.guidance:
        if cost.open_share == work.open_share and cost.mode == work.mode:
            return f"{cost.ratio - 1.0:+.0%}"
    return ""


def steps_of(config: RunConfig, problems: int) -> int:
    """Optimiser steps of the run on its GPUs."""
    resolved = resolve_config(config)
    guidance = resolve_guidance(config.method, config.guidance)
    arguments = grpo_arguments(
        {**resolved.trainer, "bf16": False},
        output_dir="unused",
        seed=0,
        scale_rewards=guidance.advantages.scale,
        reward_weights=[1.0],
    )
    return grpo_steps(arguments, problems, config.plan.devices)


if __name__ == "__main__":
    main()
