"""A folder that a job over many problems fills line by line, so that a killed job loses nothing.

::

    manifest.json    command, versions, hardware, seed; the settings, and when it was gone on with
    <records>.jsonl  one line per problem that is done
    summary.json     outcome, written at the end; beside it what the job makes of the lines

A job that goes on must be the same job: other settings are refused, since lines made in two ways
would pass for one measurement. Where no line is written yet, other settings begin it anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError, ConfigError
from rephrase_rl.records import JSON, to_json
from rephrase_rl.runs import atomic, jsonl
from rephrase_rl.runs.containment import refuse_links

if TYPE_CHECKING:
    import os

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
_PARTS = ("command", "started_at", "git", "versions", "hardware")
"""Entries of a manifest that are kept of every later part too."""


class ResumableJob:
    """Writer of one such folder; made by ``open``."""

    def __init__(self, path: Path, records: str, manifest: dict[str, JSON]) -> None:
        """Wrap a folder that is there; use ``open`` instead."""
        self.path = path
        self.manifest = manifest
        self._records = path / records

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        records: str,
        manifest: Mapping[str, JSON],
        settings: Mapping[str, JSON],
    ) -> ResumableJob:
        """Begin a job, or go on with the one that is there.

        Args:
            path: Folder; made with its parents.
            records: Name of the file of lines.
            manifest: What ``collect_manifest`` gives.
            settings: Everything that decides what the lines say.

        Raises:
            CheckpointError: The folder holds something else, or a symbolic link in place of a file.
            ConfigError: The job there has other settings; with all that differ.
        """
        folder = Path(path)
        now = _as_stored(settings)
        refuse_links(folder, (MANIFEST, records, SUMMARY))
        if (folder / MANIFEST).is_file():
            earlier = _read_manifest(folder / MANIFEST, records)
            job = cls(folder, records, earlier)
            if earlier["settings"] != now and not job.lines():
                # Such as a first try that stopped at a prompt that was too long.
                job = cls(folder, records, {**manifest, "records": records, "settings": now})
            else:
                _refuse_other_settings(folder, earlier["settings"], now)
                part = {name: manifest[name] for name in _PARTS if name in manifest}
                earlier["continued"] = [*earlier.get("continued", []), part]
        else:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise CheckpointError(
                    f"{folder} holds something and no {MANIFEST}; required: a new or empty folder, "
                    "or one that an earlier part has written: choose another path"
                )
            folder.mkdir(parents=True, exist_ok=True)
            job = cls(folder, records, {**manifest, "records": records, "settings": now})
        job._write_manifest()
        return job

    def lines(self) -> list[JSON]:
        """Every whole line that was written so far, in order."""
        return list(jsonl.read_lines(self._records))

    def append(self, lines: Iterable[object]) -> None:
        """Add lines in one write."""
        jsonl.append_lines(self._records, lines)

    def settle(self, name: str, value: JSON) -> None:
        """Put down a setting that becomes known only later, or hold the job to the one put down.

        Raises:
            ConfigError: An earlier part has put down another value.
        """
        settled = self.manifest.setdefault("settled", {})
        if name not in settled:
            settled[name] = value
            self._write_manifest()
        _refuse_other_settings(self.path, {name: settled[name]}, {name: value})

    def write_summary(self, summary: JSON) -> None:
        """Write the outcome."""
        atomic.write_bytes(self.path / SUMMARY, jsonl.encode(summary, indent=2) + b"\n")

    def _write_manifest(self) -> None:
        content = jsonl.encode(self.manifest, indent=2) + b"\n"
        atomic.write_bytes(self.path / MANIFEST, content)


def _as_stored(settings: Mapping[str, JSON]) -> dict[str, JSON]:
    """Settings as they come back from JSON, so that they can be compared."""
    stored: dict[str, JSON] = json.loads(json.dumps(to_json(settings)))
    return stored


def _read_manifest(file: Path, records: str) -> dict[str, JSON]:
    try:
        manifest = jsonl.decode(file.read_bytes())
    except ValueError as error:
        raise CheckpointError(
            f"{file} is not JSON ({error}); it is written in one step, so it was changed from "
            "outside: restore it from a copy"
        ) from error
    found = manifest.get("records") if isinstance(manifest, dict) else None
    if found != records:
        raise CheckpointError(
            f"{file.parent} was written by another command (its lines are in {found!r}); required: "
            f"a new folder, or one with {records}: choose another path"
        )
    read: dict[str, JSON] = manifest
    return read


def _refuse_other_settings(
    folder: Path, earlier: Mapping[str, JSON], now: Mapping[str, JSON]
) -> None:
    faults = [
        f"{name}: found {now.get(name)!r}, and the part that is there has {earlier.get(name)!r}"
        for name in sorted({*earlier, *now})
        if now.get(name) != earlier.get(name)
    ]
    if faults:
        raise ConfigError(
            f"{folder} holds a job with other settings; required: the same ones to go on with it, "
            "or a new folder",
            faults,
        )
