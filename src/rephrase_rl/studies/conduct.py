"""One cell: trained, tested and summarised through the ordinary training path."""

from __future__ import annotations

import shutil
import time
import warnings
from typing import TYPE_CHECKING, Any

from rephrase_rl.assembly import EvaluationSetting, evaluate_policy, train_run
from rephrase_rl.config import BenchmarkConfig, TestDataConfig
from rephrase_rl.config.study import BASE_ARM
from rephrase_rl.errors import DataError
from rephrase_rl.runs import RunDirectory
from rephrase_rl.studies.cells import ANY
from rephrase_rl.studies.measure import summary_of_base, summary_of_run
from rephrase_rl.studies.order import chosen_rate, starting_seed
from rephrase_rl.studies.policies import POLICIES, starting_policy
from rephrase_rl.studies.runs import TRAINED, first_folder, plan_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rephrase_rl.assembly import StepView
    from rephrase_rl.config import RunConfig, StudyConfig
    from rephrase_rl.records import JSON
    from rephrase_rl.studies.cells import Cell
    from rephrase_rl.studies.policies import StartingPolicy


REWRITING = "rewriting"
"""What a supervised run calls the making of its texts."""


class CpuClock:
    """Seconds of CPU that this process spends on each training step, evaluations left out.

    CPU time, not wall time: a machine that has other work to do does not change it. A step after
    which is validated shows next to nothing, since the validation comes before the step's report;
    ``outcomes.Run.cpu_seconds`` mends that.
    """

    def __init__(self) -> None:
        """Start with no step."""
        self.seconds: list[float] = []
        self._before_steps = 0.0
        self._last = time.process_time()

    def on_step(self, _: StepView) -> None:
        """A step has ended."""
        now = time.process_time()
        self.seconds.append(self._before_steps + now - self._last)
        self._before_steps, self._last = 0.0, now

    def on_progress(self, name: str, _done: int, _total: int) -> None:
        """An evaluation has come this far, or the rewriting of a data set, which is training."""
        now = time.process_time()
        if name == REWRITING:
            self._before_steps += now - self._last
        self._last = now


def conduct_cell(
    study: StudyConfig,
    cell: Cell,
    out: Path,
    summaries: Mapping[str, Mapping[str, JSON]],
    command: Sequence[str],
) -> dict[str, JSON]:
    """Carry out one cell and make its summary; an unfinished run of it is begun anew.

    Args:
        study: The study.
        cell: A cell that does not wait.
        out: Folder of the study; run directories go to ``out/runs``.
        summaries: Of finished cells; the rate of a first stage is looked up there.
        command: Command line, for the manifests.

    Raises:
        RephraseError: The run cannot be carried out.
    """
    folder = out / "runs" / cell.cell_id
    seed = starting_seed(study, cell)
    policy = starting_policy(out / POLICIES, cell.rewriter, seed, study.family)
    _refuse_other_weights(policy, summaries)
    if cell.arm == BASE_ARM:
        _remove(folder)
        evaluate_policy(
            str(policy.folder),
            study.test,
            seed=cell.seed,
            run_path=folder,
            command=command,
        )
        return summary_of_base(cell, policy, RunDirectory.open(folder))
    return _train_cell(study, cell, policy, folder, summaries, command)


def _train_cell(
    study: StudyConfig,
    cell: Cell,
    policy: StartingPolicy,
    folder: Path,
    summaries: Mapping[str, Mapping[str, JSON]],
    command: Sequence[str],
) -> dict[str, JSON]:
    arm = study.arms[cell.arm]
    first_rate = None
    if arm.first is not None:
        expert = "alien" if cell.expert == ANY else cell.expert
        first_rate = chosen_rate(study, arm.first.arm, cell.protocol, expert, summaries)
    planned = plan_run(study, cell, policy, folder, first_rate)
    runs, clocks = [], []
    stages = [(planned.first, first_folder(folder)), (planned.config, folder)]
    for config, path in ((c, p) for c, p in stages if c is not None):
        clock = CpuClock()
        with warnings.catch_warnings():
            # Problems without a text and rewards that never differ are what these runs are about.
            warnings.simplefilter("ignore")
            train_run(
                config,
                run_path=path,
                command=command,
                overwrite=True,
                on_step=clock.on_step,
                on_progress=clock.on_progress,
            )
        runs.append(RunDirectory.open(path))
        clocks.append(clock.seconds)
    if not cell.sweep:
        _test(study, planned.config, folder, planned.trained, arm.test_steps)
    summary = summary_of_run(cell, policy, runs, clocks)
    for path in (folder, first_folder(folder)):
        shutil.rmtree(path / "checkpoints", ignore_errors=True)
    return summary


def _test(
    study: StudyConfig, config: RunConfig, folder: Path, trained: Path, steps: Sequence[int]
) -> None:
    """Test the policy at the end, and at earlier steps that the arm names."""
    again = BenchmarkConfig(
        name=TRAINED,
        data=TestDataConfig(path=str(trained)),
        samples_per_problem=study.trained_samples,
        max_new_tokens=int(config.trainer["max_completion_length"]),
    )
    setting = EvaluationSetting.of_run(config)
    policies: list[tuple[Path, tuple[Any, ...]]] = [(folder, (*study.test, again))]
    policies += [(folder / "checkpoints" / f"checkpoint-{step}", study.test) for step in steps]
    for policy, benchmarks in policies:
        evaluate_policy(str(policy), benchmarks, seed=config.seed, setting=setting, run_path=folder)


def _refuse_other_weights(
    policy: StartingPolicy, summaries: Mapping[str, Mapping[str, JSON]]
) -> None:
    """Refuse to mix runs from two policies that only share their name.

    Raises:
        DataError: Earlier runs started from other weights of this name.
    """
    same = [s for s in summaries.values() if s["policy"]["name"] == policy.name]
    others = [s for s in same if s["policy"]["sha256"] != policy.sha256]
    if others:
        raise DataError(
            f"policy {policy.name} in {policy.folder} has the hash {policy.sha256[:12]}, and "
            f"{len(others)} finished cells such as {others[0]['id']} started from "
            f"{others[0]['policy']['sha256'][:12]}; required: the same weights, since another kind "
            "of machine or another version of torch makes others from the same seed: copy that "
            "policy from where it was made, or take these summaries away to run the cells again"
        )


def _remove(folder: Path) -> None:
    """Remove what an earlier try at an evaluation left."""
    if (folder / "manifest.json").is_file():
        shutil.rmtree(folder)
