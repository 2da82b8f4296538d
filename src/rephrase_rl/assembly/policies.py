"""Which policy a user means, and how it is told from others."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.rollout.adapters import ADAPTER_FILE
from rephrase_rl.runs import RunDirectory, jsonl

FINAL_POLICY = "final"
"""Folder under ``checkpoints/`` that holds the policy at the end of training."""

BEST_POLICY = "best"
"""Folder under ``checkpoints/`` that holds the policy that ``evaluation.keep_best`` has chosen."""

EVALUATION = "evaluation"
"""``method`` in the manifest of a directory that holds evaluations of a model and no training."""

_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt")
_PARTS, _PART_BYTES = 256, 4096


def resolve_policy_path(model: str) -> str:
    """The weights that a user means: a run's final policy, a folder, a hub id or a lab name.

    Raises:
        CheckpointError: It is a run without a final policy.
    """
    path = Path(model)
    if (path / "manifest.json").is_file():
        final = path / "checkpoints" / FINAL_POLICY
        if not any((final / name).is_file() for name in ("config.json", ADAPTER_FILE)):
            config = shlex.quote(str(path / "config.yaml"))
            raise CheckpointError(
                f"{path} is a run without a final policy ({final} is missing): the run has not "
                f"finished; resume it with `rephrase-rl train {config} --resume`, "
                f"or name a folder under {path / 'checkpoints'}"
            )
        return str(final)
    return model


def weights_fingerprint(path: str) -> str | None:
    """SHA-256 (hex) of the names, sizes and spread parts of a folder's weights; None for a hub id.

    Training changes every tensor, so parts tell a folder whose weights were replaced, without
    reading the many gigabytes of a large model.
    """
    folder = Path(path)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _WEIGHTS or file.name == ADAPTER_FILE:
            size = file.stat().st_size
            digest.update(f"{file.name} {size}\n".encode())
            with file.open("rb") as stream:
                for start in range(0, size, max(_PART_BYTES, size // _PARTS)):
                    stream.seek(start)
                    digest.update(stream.read(_PART_BYTES))
    return digest.hexdigest()


def step_within(run_path: Path, model: str) -> int | None:
    """Optimiser steps that a policy of the run has had; None if there is no run yet.

    Raises:
        ConfigError: The run is another policy's.
    """
    if not (run_path / "manifest.json").is_file():
        return None
    run, policy = RunDirectory.open(run_path), Path(model).resolve()
    if run.manifest.get("method") == EVALUATION and run.manifest.get("model") == model:
        return 0
    if policy in (run.path.resolve(), (run.checkpoints / FINAL_POLICY).resolve()):
        return run.steps()[-1].step + 1
    if policy.parent == run.checkpoints.resolve():
        if policy.name.startswith("checkpoint-"):
            return int(policy.name.removeprefix("checkpoint-"))
        kept = best_step(policy)
        if policy.name == BEST_POLICY and kept is not None:
            return kept
    raise ConfigError(
        f"results of {model} were to be stored in {run_path}, which is another policy's run; "
        "required: the run itself, one of its checkpoints, or a new folder: choose another --out"
    )


def best_step(folder: Path) -> int | None:
    """Optimiser steps of the policy in ``checkpoints/best``; None if nothing says so."""
    try:
        kept = jsonl.decode((folder / "step.json").read_bytes())["after_steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept if isinstance(kept, int) else None
