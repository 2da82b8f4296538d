"""A folder of a study holds cells of one study: what they rest on stays as it was begun.

The id of a cell names arm, batches, expert, starting policy, rate and seed, and not what stands
behind these words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rephrase_rl.config import config_to_plain
from rephrase_rl.errors import ConfigError, DataError
from rephrase_rl.runs import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.config import StudyConfig

FILE = "study.json"
NAMED = ("arms", "protocols")
"""Sections of which more may be added to a study that is begun."""
FREE = ("name", "order", "sweep", "baseline")
"""Fields that say which cells are run and compared, not what a cell is."""


def refuse_another_study(study: StudyConfig, out: Path) -> None:
    """Refuse to go on in a folder whose cells were made by other settings; keep those of this one.

    Arms and protocols that are new are added to what the folder is held to.

    Args:
        study: What is to be run.
        out: Folder of the study.

    Raises:
        ConfigError: Something that cells rest on has changed since the folder was begun.
        DataError: The folder's record cannot be read.
    """
    path = out / FILE
    now = settings(study)
    before = _read(path) if path.is_file() else {}
    changed = [name for name in before if name in now and before[name] != now[name]]
    if changed:
        raise ConfigError(
            f"{out} was begun with other settings of {', '.join(sorted(changed))}, and its "
            "finished cells would stand for those of now; required: one study in a folder: give "
            f"this one another --out, or put back what {path} has, or remove the folder"
        )
    if before.keys() != {**before, **now}.keys():
        atomic.write_text(path, json.dumps({**before, **now}, indent=1) + "\n")


def settings(study: StudyConfig) -> dict[str, Any]:
    """What cells rest on: field, or ``arms.NAME`` and ``protocols.NAME`` -> its value."""
    plain = {key: value for key, value in config_to_plain(study).items() if key not in FREE}
    of_sections = {
        f"{section}.{name}": value
        for section in NAMED
        for name, value in plain.pop(section).items()
    }
    return {**plain, **of_sections}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        found = error
    if not isinstance(found, dict):
        raise DataError(
            f"{path} is no record of a study ({found}); required: what `rephrase-rl study` wrote: "
            "restore it, or remove it if the folder's cells are of this very study"
        )
    return found
