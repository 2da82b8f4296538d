"""Completions of an evaluation that is not finished yet, kept in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError, ConfigError, DataError
from rephrase_rl.records import JSON, Completion, from_json, to_json
from rephrase_rl.runs import jsonl

if TYPE_CHECKING:
    from pathlib import Path

FILE = "partial.jsonl"
"""In the folder of the evaluation; removed when the result is there."""


class SampleJournal:
    """Writes every batch as it comes; a ``rollout.Journal``. The first line says what is made."""

    def __init__(self, path: Path, known: Mapping[int, list[Completion]]) -> None:
        """Wrap a file that ``open`` has prepared."""
        self.path = path
        self.known = known

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, JSON], *, resume: bool) -> SampleJournal:
        """Begin a journal, or go on with one that is there.

        Args:
            path: Its file; folders are made.
            settings: Everything that decides what is sampled, judging left aside.
            resume: Whether to go on with one that is there.

        Raises:
            CheckpointError: There is one and it was not asked for, or it cannot be read.
            ConfigError: It was begun with other settings; with all that differ.
        """
        lines = list(jsonl.read_lines(path))
        if not lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            jsonl.append_lines(path, [{"settings": settings}])
            return cls(path, {})
        if not resume:
            raise CheckpointError(
                f"{path} is an evaluation that was not finished; required: your word what to do "
                "with it; do this: go on with --resume, or remove the file"
            )
        begun = lines[0].get("settings") if isinstance(lines[0], dict) else None
        _refuse_other(path, begun if isinstance(begun, dict) else {}, to_json(settings))
        return cls(path, dict(_read(path, line) for line in lines[1:]))

    def keep(self, sampled: Mapping[int, Sequence[Completion]]) -> None:
        """Append one line per prompt, all in one write."""
        jsonl.append_lines(
            self.path,
            [
                {"prompt": index, "completions": [_without_logps(c) for c in completions]}
                for index, completions in sampled.items()
            ],
        )

    def remove(self) -> None:
        """Remove the file, when the result is stored."""
        self.path.unlink(missing_ok=True)


def _without_logps(completion: Completion) -> JSON:
    return to_json(dataclasses.replace(completion, sampling_logps=None))


def _read(path: Path, line: JSON) -> tuple[int, list[Completion]]:
    try:
        return int(line["prompt"]), [from_json(Completion, c) for c in line["completions"]]
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds a line that no evaluation writes ({error}); it was changed from "
            "outside: remove the file and evaluate anew"
        ) from error


def _refuse_other(path: Path, begun: Mapping[str, JSON], now: Mapping[str, JSON]) -> None:
    faults = [
        f"{name}: found {now.get(name)!r}, and it was begun with {begun.get(name)!r}"
        for name in sorted({*begun, *now})
        if begun.get(name) != now.get(name)
    ]
    if faults:
        raise ConfigError(
            f"{path} is an evaluation with other settings; required: the same ones to go on with "
            "it; or remove the file and evaluate anew",
            faults,
        )
