"""Where a run begins: a new run directory, or the checkpoint that an earlier part has left."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from rephrase_rl.config import config_to_plain, dump_config
from rephrase_rl.config.load import NOT_HASHED
from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.runs import RunDirectory, checkpoints

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rephrase_rl.assembly.run_parts import RunRequest
    from rephrase_rl.config import RunConfig
    from rephrase_rl.records import JSON

logger = logging.getLogger(__name__)

_PARTS = ("command", "started_at", "git", "versions", "hardware")
"""Entries of a manifest that are kept of every later part too."""


def open_run(
    request: RunRequest, manifest: Mapping[str, JSON]
) -> tuple[RunDirectory | None, str | None]:
    """The run directory (None on all processes but the first) and the checkpoint to resume.

    Checkpoints after the one that is gone on from are removed, and so are the records of their
    steps.

    Raises:
        CheckpointError: ``run_path`` holds a run and neither flag says what to do with it, or
            there is no checkpoint to resume from, or it is damaged.
        ConfigError: The run to resume was made with another configuration.
    """
    found: list[Any] = [None]
    run = None
    if PartialState().is_main_process:
        if request.resume:
            run, found[0] = _reopened(request, manifest)
        else:
            text = dump_config(request.config)
            run = RunDirectory.create(request.run_path, manifest, text, request.overwrite)
    if PartialState().num_processes > 1:
        broadcast_object_list(found)
    return run, found[0]


def _reopened(request: RunRequest, manifest: Mapping[str, JSON]) -> tuple[RunDirectory, str]:
    path = request.run_path
    home = path / "checkpoints"
    checkpoint = checkpoints.choose(home, request.resume_from)
    step = checkpoints.step_of(checkpoint)
    run = RunDirectory.open(path)
    if run.manifest.get("config_hash") != manifest["config_hash"]:
        raise ConfigError(
            f"{path} was made with another configuration; a resumed run must have the same one: "
            f"use the config.yaml in that folder (train {path / 'config.yaml'} --resume), or start "
            "a new run, which may go on from this one's policy (init_from)",
            _differences(run, request.config),
        )
    _require_records(run, checkpoint, step)
    later = [c for c in checkpoints.all_checkpoints(home) if checkpoints.step_of(c) > step]
    if later:
        logger.warning("removed %s, made after %s", _names(later), checkpoint.name)
    # Before the records: a kill in between leaves a run that resumes from this one.
    checkpoints.discard(later)
    shutil.rmtree(home / checkpoints.WRITING, ignore_errors=True)
    run.rewind(step)
    part = {name: manifest[name] for name in _PARTS if name in manifest}
    earlier = run.manifest.get("resumed", [])
    run.update_manifest({"resumed": [*earlier, {"after_step": step, **part}]})
    return run, str(checkpoint)


def _differences(run: RunDirectory, config: RunConfig) -> list[str]:
    """The entries in which the run's configuration and another one differ, where that counts."""
    from rephrase_rl.reports.config_differences import config_differences  # brings matplotlib

    named = config_differences([run.config, config_to_plain(config)])
    return [
        f"{name}: {there} in the run, {here} now"
        for name, (there, here) in named
        if name.partition(".")[0] not in NOT_HASHED
    ]


def _require_records(run: RunDirectory, checkpoint: Path, step: int) -> None:
    """Refuse a record with holes: a resumed run would look like a whole one.

    Raises:
        CheckpointError: Steps before the checkpoint are not in the record.
    """
    recorded = {record.step for record in run.steps()}
    missing = [number for number in range(step) if number not in recorded]
    if missing:
        raise CheckpointError(
            f"{run.path / 'steps.jsonl'} lacks step {missing[0]} and {len(missing) - 1} others of "
            f"the {step} before {checkpoint.name}; required: all of them. Restore the file from a "
            f"copy, or go back to a checkpoint before that step with --resume-from STEP"
        )


def _names(folders: list[Path]) -> str:
    return ", ".join(folder.name for folder in folders)
