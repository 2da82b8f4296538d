"""A run on verl: what it would start, starting it, and a folder to start it from elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rephrase_rl.assembly.benchmarks import load_benchmarks
from rephrase_rl.assembly.problems import training_problems
from rephrase_rl.assembly.rewards_of_sets import build_rewards
from rephrase_rl.assembly.verl.data_files import write_data
from rephrase_rl.assembly.verl.overrides import Files, translate, validated
from rephrase_rl.assembly.verl.parts import facts_of
from rephrase_rl.config import config_hash, config_to_plain, dump_config
from rephrase_rl.data import data_fingerprint
from rephrase_rl.errors import ConfigError, DataError, TrainingError
from rephrase_rl.methods import get_preset, resolve_config
from rephrase_rl.runs import RunDirectory, collect_manifest
from rephrase_rl.runs.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rephrase_rl.config import RunConfig
    from rephrase_rl.records import Problem

MODULE = "rephrase_rl.trainers.verl.launch"
"""What is run in the place of ``verl.trainer.main_ppo``."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a run on verl comes to."""

    command: tuple[str, ...]
    """Program and arguments."""
    environment: dict[str, str]
    """Variables set beside those that are there."""
    unused: tuple[str, ...]
    """What the user set and verl does not do."""

    def shell(self) -> str:
        """As a shell takes it, one override on a line."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        words = [*variables, *map(shlex.quote, self.command[:3])]
        return " \\\n    ".join([" ".join(words), *map(shlex.quote, self.command[3:])])


def files_in(folder: Path) -> Files:
    """Where a launch keeps what travels with it, in a run directory or an exported folder."""
    data = folder.absolute() / "verl"
    return Files(
        train=data / "train.parquet",
        evaluation=data / "evaluation.parquet",
        facts=data / "facts.json",
        run=folder.absolute(),
    )


def plan_launch(config: RunConfig, run_path: Path) -> Launch:
    """The launch of a run; reads no data and writes nothing.

    Raises:
        ConfigError: Something of the run has no counterpart in verl; with all faults.
    """
    config = resolve_config(config)
    translation = translate(config, files_in(run_path))
    address = config.verl.ray_address
    return Launch(
        (sys.executable, "-m", MODULE, *translation.overrides()),
        {} if address is None else {"RAY_ADDRESS": address},
        translation.unused,
    )


def train_on_verl(
    config: RunConfig,
    *,
    run_path: Path,
    command: Sequence[str],
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Write data and run directory, then train on a Ray cluster until that is done.

    Args:
        config: The run; resolved here.
        run_path: Its directory, on a disk that the cluster's nodes share if there are several.
        command: Command line, for the manifest.
        resume: Go on from verl's last checkpoint in ``run_path``, with the data that lies there.
        overwrite: Replace a run that is there.

    Raises:
        ConfigError: The run has no counterpart in verl, or verl is not installed here.
        DataError: Data is not usable, or prompts are too long.
        CheckpointError: ``run_path`` holds something and ``overwrite`` is not set.
        TrainingError: verl ended with an error.
    """
    config = resolve_config(config)
    launch = plan_launch(config, run_path)
    _require_verl()
    if resume:
        _require_same(config, RunDirectory.open(run_path))
    else:
        problems = training_problems(config)
        check_rewards(config, problems)
        manifest = _manifest(config, problems, command)
        RunDirectory.create(run_path, manifest, dump_config(config), overwrite)
        write_files(config, problems, files_in(run_path))
    ended = subprocess.run(launch.command, env=os.environ | launch.environment, check=False)
    if ended.returncode != 0:
        raise TrainingError(
            f"verl ended with status {ended.returncode}; what it said stands above, and what was "
            f"recorded until then is in {run_path}: correct the cause and go on with --resume, or "
            "begin anew with --overwrite"
        )


def write_files(config: RunConfig, problems: Sequence[Problem], files: Files) -> None:
    """Write data and facts of a run.

    Raises:
        DataError: Prompts are longer than verl would let them be, or problems too few for a step.
    """
    needed = config.verl.prompts_per_step
    if len(problems) < needed:
        raise DataError(
            f"found {len(problems)} problems, required at least the {needed} of a step "
            "(verl.prompts_per_step), since verl leaves out a step that the data does not fill: "
            "lower it, or give more problems"
        )
    benchmarks = load_benchmarks(validated(config))
    write_data(config, problems, benchmarks, files.train, files.evaluation)
    write_text(files.facts, json.dumps(facts_of(config, problems), indent=1) + "\n")


def _require_same(config: RunConfig, run: RunDirectory) -> None:
    if run.manifest.get("config_hash") != config_hash(config):
        raise ConfigError(
            f"{run.path} was made with another configuration; a resumed run must have the same "
            "one: use the config.yaml in that folder, or start a new run"
        )


def _require_verl() -> None:
    if importlib.util.find_spec("verl") is None:
        raise ConfigError(
            "verl is not installed here; required: verl 0.9.1 in an environment of its own "
            "(pip install -c constraints-verl.txt '.[verl]', and vLLM as verl's documentation has "
            "it). To train on a machine that has it: `rephrase-rl export verl CONFIG FOLDER`"
        )


def check_rewards(config: RunConfig, problems: Sequence[Problem]) -> None:
    """Have verifiers refused here rather than in eight processes of a cluster."""
    build_rewards(config, problems).close()


def _manifest(
    config: RunConfig, problems: Sequence[Problem], command: Sequence[str]
) -> dict[str, object]:
    return collect_manifest(
        list(command),
        config.seed,
        {
            "method": config.method,
            "model": config.model.path,
            "engine": {"verl": config_to_plain(config.verl)},
            "data": {"train": data_fingerprint(problems)},
            "num_problems": len(problems),
            "config_hash": config_hash(config),
            "deviations": list(get_preset(config.method).deviations),
        },
    )
