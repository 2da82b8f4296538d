"""From a cell to the run configurations that it is trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rephrase_rl.config import config_to_plain, merge_blocks, parse_config
from rephrase_rl.studies.cells import ANY
from rephrase_rl.studies.data import is_hard, rotated, training_problems, write_problems

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.config import RunConfig, StudyConfig
    from rephrase_rl.studies.cells import Cell
    from rephrase_rl.studies.policies import StartingPolicy

VALIDATION = "validation-"
"""Begins the names of validation benchmarks in a run directory, beside the test's own names."""
TRAINED = "trained"
"""Benchmark of hard problems that the run was trained on."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """What a cell is trained with."""

    config: RunConfig
    first: RunConfig | None
    """The stage before it."""
    trained: Path
    """Hard problems of the training set."""


def plan_run(
    study: StudyConfig,
    cell: Cell,
    policy: StartingPolicy,
    folder: Path,
    first_rate: float | None = None,
) -> PlannedRun:
    """Write the training sets of a cell and make its configurations.

    Args:
        study: The study.
        cell: With a learning rate.
        policy: To start from.
        folder: Of the cell's run directory; a first stage is ``first`` beside it.
        first_rate: Learning rate of the first stage, where there is one.

    Raises:
        ConfigError: ``study.run`` or an arm does not make a valid configuration.
    """
    arm = study.arms[cell.arm]
    expert = "alien" if cell.expert == ANY else cell.expert
    mix = study.protocols[cell.protocol]
    wanted = (mix, study.problems, cell.seed, expert)
    problems = training_problems(*wanted, arm.texts, study.family)  # type: ignore[arg-type]
    data = folder.parent / f"{folder.name}.data"
    hard = [problem for problem in problems if is_hard(problem)][: study.trained_problems]
    trained = write_problems(data / "trained.jsonl", hard)
    first = None
    if arm.first is not None:
        first_arm = study.arms[arm.first.arm]
        seen = training_problems(*wanted, first_arm.texts, study.family)  # type: ignore[arg-type]
        path = write_problems(data / "first.jsonl", seen)
        changes = {"max_steps": arm.first.steps, "learning_rate": first_rate}
        first = _config(study, arm.first.arm, cell, path, changes)
        per_step = study.problems // int(study.run["trainer"]["max_steps"])
        problems = rotated(problems, arm.first.steps * per_step)
    path = write_problems(data / "train.jsonl", problems)
    config = _config(study, cell.arm, cell, path, {"learning_rate": cell.rate})
    start: dict[str, Any] = {"model": config.model.model_copy(update={"path": str(policy.folder)})}
    if first is not None:
        first = first.model_copy(update=start)
        start["init_from"] = str(first_folder(folder))
    return PlannedRun(config.model_copy(update=start), first, trained)


def first_folder(folder: Path) -> Path:
    """Run directory of the first stage of the run in ``folder``."""
    return folder.parent / f"{folder.name}.first"


def _config(
    study: StudyConfig, arm_name: str, cell: Cell, data: Path, changes: dict[str, Any]
) -> RunConfig:
    arm = study.arms[arm_name]
    raw = dict(study.run)
    evaluation = {"before": True, **raw.get("evaluation", {}), "benchmarks": _validation(study)}
    trainer = {**raw.get("trainer", {}), **arm.trainer, **changes}
    if arm.test_steps and not cell.sweep:
        # transformers saves at multiples; the first of these steps is the smallest.
        trainer |= {"save_strategy": "steps", "save_steps": arm.test_steps[0]}
    raw |= {
        "method": arm.method,
        "model": {"path": "lab:base"},
        "data": {"name": cell.protocol, "path": str(data)},
        "seed": cell.seed,
        "guidance": merge_blocks(raw.get("guidance", {}), arm.guidance),
        "trainer": trainer,
        "evaluation": evaluation,
    }
    return parse_config(raw, f"cell {cell.cell_id}")


def _validation(study: StudyConfig) -> list[dict[str, Any]]:
    return [
        {**config_to_plain(benchmark), "name": VALIDATION + benchmark.name}
        for benchmark in study.validation
    ]
