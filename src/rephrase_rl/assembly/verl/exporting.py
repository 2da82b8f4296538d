"""A folder that a run is started from where verl is installed and this package is not.

It holds the data, the run's configuration and facts, a copy of this package, and a launch script
that finds all of them beside itself wherever the folder lies.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import rephrase_rl
from rephrase_rl.assembly.problems import training_problems
from rephrase_rl.assembly.verl.launching import MODULE, check_rewards, write_files
from rephrase_rl.assembly.verl.overrides import Files, translate
from rephrase_rl.config import config_hash, dump_config
from rephrase_rl.errors import ConfigError
from rephrase_rl.methods import resolve_config
from rephrase_rl.runs import RunDirectory, collect_manifest
from rephrase_rl.runs.atomic import write_bytes, write_text
from rephrase_rl.runs.jsonl import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.config import RunConfig

PLACE = "/where/the/folder/lies"
"""Stands for the folder until the script knows where it is."""
REQUIREMENTS = ("math-verify>=0.9,<0.10", "pebble>=5.1", "rapidfuzz>=3.9", "regex>=2024.5.15")
"""What verifiers and guidance need beside what verl 0.9.1 installs."""
SCRIPT = """#!/usr/bin/env bash
# Starts the run on the Ray cluster of RAY_ADDRESS, or on this machine.
# Every node must see this folder under the same path, and have verl 0.9.1 and requirements.txt.
set -euo pipefail
folder="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
[[ "$folder" =~ ^[A-Za-z0-9_/.@%+~-]+$ ]] || {{
    echo "error: found the path $folder, of which verl's configuration would make something else;" \
        "required: letters, digits and _ / . @ % + ~ - alone; move the folder" >&2
    exit 2
}}
export PYTHONPATH="$folder/package${{PYTHONPATH:+:$PYTHONPATH}}"
[[ "$PYTHONPATH" =~ ^[A-Za-z0-9_/.:@%+~-]+$ ]] || {{
    echo "error: found PYTHONPATH=$PYTHONPATH, of which verl's configuration would make something" \
        "else; required: letters, digits and _ / . : @ % + ~ - alone; set another" >&2
    exit 2
}}
python - <<'CHECK'
from importlib.metadata import version
found = version("verl")
assert found == "0.9.1", f"found verl {{found}}, required 0.9.1, which this was written for"
import math_verify, pebble, rapidfuzz, regex
CHECK
# Ray's workers have the environment of their node, and not that of this script.
exec python -m {module} \\
{overrides} \\
    "+ray_kwargs.ray_init.runtime_env.env_vars.PYTHONPATH=$PYTHONPATH" \\
    "$@"
"""


def export_run(config: RunConfig, folder: Path, *, command: Sequence[str]) -> list[Path]:
    """Write the folder.

    Args:
        config: The run; resolved here.
        folder: Where to; must not exist, or be empty.
        command: Command line, for the manifest.

    Returns:
        The files at its top, in the order in which a reader wants them.

    Raises:
        ConfigError: The run has no counterpart in verl, or the folder holds something.
        DataError: Data is not usable.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder} is there and not empty; required: a new folder, since files of another "
            "export would be mixed up with these: choose another name"
        )
    config = resolve_config(config)
    problems = training_problems(config)
    check_rewards(config, problems)
    portable = Path(PLACE)
    placed = Files(
        train=portable / "data" / "train.parquet",
        evaluation=portable / "data" / "evaluation.parquet",
        facts=portable / "data" / "facts.json",
        run=portable / "run",
    )
    overrides = translate(config, placed).overrides()
    here = Files(
        train=folder / placed.train.relative_to(portable),
        evaluation=folder / placed.evaluation.relative_to(portable),
        facts=folder / placed.facts.relative_to(portable),
        run=folder / placed.run.relative_to(portable),
    )
    write_files(config, problems, here)
    manifest = collect_manifest(
        list(command), config.seed, {"method": config.method, "config_hash": config_hash(config)}
    )
    RunDirectory.create(here.run, manifest, dump_config(config))
    write_bytes(folder / "manifest.json", encode(manifest, indent=2) + b"\n")
    write_text(folder / "config.yaml", dump_config(config))
    write_text(folder / "requirements.txt", "\n".join(REQUIREMENTS) + "\n")
    _copy_package(folder / "package" / "rephrase_rl")
    script = folder / "launch.sh"
    lines = " \\\n".join(f"    {_in_shell(override)}" for override in overrides)
    write_text(script, SCRIPT.format(module=MODULE, overrides=lines))
    script.chmod(0o755)
    return [script, *(folder / name for name in ("config.yaml", "requirements.txt", "data", "run"))]


def _in_shell(override: str) -> str:
    """An override as a word of the shell, the folder's place filled in by the script."""
    for character in '\\"$`':
        override = override.replace(character, "\\" + character)
    return '"' + override.replace(PLACE, "$folder") + '"'


def _copy_package(target: Path) -> None:
    """This package without compiled files and without the weights of the lab's policies."""
    source = Path(rephrase_rl.__file__).parent
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.safetensors")
    )
