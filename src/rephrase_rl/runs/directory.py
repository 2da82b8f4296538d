"""A run directory: everything a run leaves behind, and the only thing reports read.

::

    manifest.json   command, commit, versions, seeds, hardware, data and template hashes
    config.yaml     resolved configuration, itself a valid input
    steps.jsonl     one StepRecord per optimiser step, deterministic figures only
    timings.jsonl   seconds of each step
    groups.jsonl    one GroupRecord per group
    watch.jsonl     what evaluations in training decided; there only if anything was watched
    evals/<step>/<benchmark>/{result.json,samples.jsonl}
    refused/        inputs of steps whose loss or gradient was not finite; there only if any were
    summary.json    outcome, written at the end
    checkpoints/    Hugging Face format
    report/         made from the rest at any time
    tensorboard/    event files; there only if ``trainer.report_to`` asks for them

Lines are appended, whole files are replaced in one step, so a killed run leaves a readable
directory. One process writes (rank 0); any number may read meanwhile. Imports no torch.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from rephrase_rl.bounded_yaml import load_bounded
from rephrase_rl.errors import CheckpointError
from rephrase_rl.records import JSON, GroupRecord, StepRecord, from_json
from rephrase_rl.runs import atomic, jsonl, shapes
from rephrase_rl.runs.beginning import make_room
from rephrase_rl.runs.checked_reading import read_checked, read_objects, step_of
from rephrase_rl.runs.containment import refuse_links
from rephrase_rl.runs.layout import FILES, FOLDERS, RECORDS

BENCHMARK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A benchmark's name is also a folder's: no separators, no leading dot, not too long."""


@dataclass(frozen=True, slots=True)
class TimingRecord:
    """What one optimiser step cost; never compared between runs bit for bit."""

    step: int
    timings: Mapping[str, float | None]
    """Seconds by name, such as ``time/step_s``."""


@dataclass(frozen=True, slots=True)
class EvaluationEntry:
    """One finished evaluation of a run."""

    step: int
    """Optimiser steps done before it; 0 is the untrained policy."""
    benchmark: str
    result: JSON
    """Content of ``result.json``."""
    samples_path: Path
    """One JSON object per sample and line; read with ``samples``."""

    def samples(self) -> Iterator[JSON]:
        """Yield the samples, in the order in which they were written."""
        return jsonl.read_lines(self.samples_path)


@dataclass(frozen=True, slots=True)
class RewindReport:
    """What ``RunDirectory.rewind`` took out, by file."""

    steps: int
    timings: int
    groups: int
    watch: int
    evaluations: int


class RunDirectory:
    """Writer and reader of one run directory; made by ``create`` or ``open``."""

    def __init__(self, path: str | os.PathLike[str], manifest: Mapping[str, JSON]) -> None:
        """Wrap an existing directory; use ``create`` or ``open`` instead."""
        self.path = Path(path)
        self.manifest: dict[str, JSON] = dict(manifest)
        self._last_step: int | None = None

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        manifest: Mapping[str, JSON],
        config_yaml: str,
        overwrite: bool = False,
    ) -> RunDirectory:
        """Start a new run directory.

        Args:
            path: Folder; made with its parents.
            manifest: What ``collect_manifest`` gives, with hashes of data and templates.
            config_yaml: Resolved configuration.
            overwrite: Remove the run that is there first. Only what a run writes is removed;
                other files in the folder stay.

        Raises:
            CheckpointError: The folder holds something and ``overwrite`` is not set, or it holds
                files but no run.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise CheckpointError(
                f"{folder} is a file; a run needs a folder of its own: choose another path"
            )
        if folder.exists() and any(folder.iterdir()):
            refuse_links(folder, (*FILES, *FOLDERS))
            make_room(folder, overwrite)
        for name in FOLDERS[:2]:
            (folder / name).mkdir(parents=True, exist_ok=True)
        atomic.write_text(folder / "config.yaml", config_yaml)
        # Last, because a folder is a run from the moment it has a manifest.
        atomic.write_bytes(folder / "manifest.json", jsonl.encode(manifest, indent=2) + b"\n")
        return cls(folder, manifest)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunDirectory:
        """Open an existing run directory for reading or for going on.

        Raises:
            CheckpointError: There is no run, its manifest cannot be read, or a part of it is a
                symbolic link.
        """
        folder = Path(path)
        file = folder / "manifest.json"
        if not folder.is_dir():
            raise CheckpointError(
                f"{folder}: no such folder; a run directory is required: check the path"
            )
        if not file.is_file():
            raise CheckpointError(
                f"{folder} has no manifest.json, so it is not a run directory: give the folder "
                "that the training command wrote"
            )
        refuse_links(folder, (*FILES, *FOLDERS))
        manifest = read_checked(file, shapes.MANIFEST)
        if manifest is None:
            raise CheckpointError(
                f"{file} holds null, an object is required: restore it from a copy"
            )
        return cls(folder, manifest)

    # ---------------------------------------------------------------- paths

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        """Folder of the report; may not exist yet."""
        return self.path / "report"

    def evaluation_folder(self, step: int, benchmark: str) -> Path:
        """Folder of one evaluation; may not exist yet.

        Args:
            step: Optimiser steps done; 0 for the untrained policy.
            benchmark: Name, also the folder's: letters, digits, ``. _ -``.

        Raises:
            CheckpointError: ``step`` or ``benchmark`` cannot name a folder.
        """
        if step < 0 or not BENCHMARK_NAME.fullmatch(benchmark):
            raise CheckpointError(
                f"evaluation of {benchmark!r} at step {step}: a step from 0 and a name made of "
                "letters, digits, '.', '_' and '-' are required (it names a folder): rename it"
            )
        return self.path / "evals" / str(step) / benchmark

    # ---------------------------------------------------------------- writing

    def append_step(self, record: StepRecord) -> None:
        """Append the figures of one step.

        Raises:
            CheckpointError: The step is there already; a resumed run has to ``rewind`` first.
        """
        last = self._read_last_step() if self._last_step is None else self._last_step
        if record.step <= last:
            raise CheckpointError(
                f"{self.path / 'steps.jsonl'} reaches step {last} and step {record.step} was to be "
                f"appended; steps only grow: call rewind({record.step}) before going on from a "
                "checkpoint"
            )
        jsonl.append_lines(self.path / "steps.jsonl", [record])
        self._last_step = record.step

    def append_timing(self, step: int, timings: Mapping[str, float | None]) -> None:
        """Append what one step cost, such as ``{"time/step_s": 1.2}``."""
        jsonl.append_lines(self.path / "timings.jsonl", [TimingRecord(step, timings)])

    def append_groups(self, records: Sequence[GroupRecord]) -> None:
        """Append the groups of one step in one write."""
        jsonl.append_lines(self.path / "groups.jsonl", records)

    def write_evaluation(
        self, step: int, benchmark: str, result: JSON, samples: Iterable[JSON]
    ) -> Path:
        """Write one evaluation and return its folder; an earlier one of the same step is replaced.

        ``result.json`` is written last, so an evaluation that has one is whole.

        Args:
            step: Optimiser steps done; 0 for the untrained policy.
            benchmark: Name, also the folder's: letters, digits, ``. _ -``.
            result: JSON object.
            samples: JSON objects; may be a generator.

        Raises:
            CheckpointError: ``step`` or ``benchmark`` cannot name a folder.
        """
        folder = self.evaluation_folder(step, benchmark)
        (folder / "result.json").unlink(missing_ok=True)
        with atomic.replacing(folder / "samples.jsonl") as file:
            for sample in samples:
                file.write(jsonl.encode(sample) + b"\n")
        atomic.write_bytes(folder / "result.json", jsonl.encode(result, indent=2) + b"\n")
        return folder

    def write_summary(self, summary: JSON) -> None:
        """Write ``summary.json``, the outcome of the run (``wall_s`` and what else matters)."""
        atomic.write_bytes(self.path / "summary.json", jsonl.encode(summary, indent=2) + b"\n")

    def update_manifest(self, entries: Mapping[str, JSON]) -> None:
        """Add or replace manifest entries that become known only after the run has started."""
        self.manifest.update(entries)
        content = jsonl.encode(self.manifest, indent=2) + b"\n"
        atomic.write_bytes(self.path / "manifest.json", content)

    def sync(self) -> None:
        """Have the records of all steps reach the disk, so that a power cut takes none of them."""
        for name in RECORDS:
            if (self.path / name).exists():
                with (self.path / name).open("rb") as file:
                    os.fsync(file.fileno())

    def rewind(self, num_steps: int) -> RewindReport:
        """Go back to the state after ``num_steps`` optimiser steps, before a resumed run goes on.

        Removes records of steps >= ``num_steps`` and evaluations made after more steps. Each file
        is replaced in one step, so a kill in between leaves a directory that can be rewound again.

        Returns:
            How many records of each kind were taken out.
        """
        removed = {
            name.removesuffix(".jsonl"): _keep_lines(self.path / name, num_steps)
            for name in RECORDS
        }
        late = [entry for entry in self.evaluations() if entry.step > num_steps]
        for entry in late:
            shutil.rmtree(entry.samples_path.parent)
        self._last_step = None
        return RewindReport(evaluations=len(late), **removed)

    # ---------------------------------------------------------------- reading

    @property
    def config_yaml(self) -> str:
        """Text of ``config.yaml``.

        Raises:
            CheckpointError: It is missing or no text.
        """
        file = self.path / "config.yaml"
        if not file.is_file():
            raise CheckpointError(
                f"{file} is missing; a run directory holds its resolved configuration: copy it "
                "from the original run"
            )
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{file} is not UTF-8 text ({error}): restore it from a copy"
            ) from error

    @property
    def config(self) -> JSON:
        """Configuration as plain data, unchecked.

        Raises:
            CheckpointError: The file is missing or not YAML.
        """
        try:
            return load_bounded(self.config_yaml)
        except yaml.YAMLError as error:
            raise CheckpointError(
                f"{self.path / 'config.yaml'} is not YAML ({error}): restore it from a copy"
            ) from error

    @property
    def summary(self) -> JSON:
        """Content of ``summary.json``; None if the run has not finished."""
        file = self.path / "summary.json"
        return read_checked(file, shapes.SUMMARY) if file.is_file() else None

    def steps(self) -> list[StepRecord]:
        """Return the figures of every whole step."""
        return [from_json(StepRecord, row) for row in jsonl.read_lines(self.path / "steps.jsonl")]

    def timings(self) -> list[TimingRecord]:
        """Return what every step cost."""
        rows = jsonl.read_lines(self.path / "timings.jsonl")
        return [from_json(TimingRecord, row) for row in rows]

    def groups(self) -> Iterator[GroupRecord]:
        """Yield every group; a long run has too many to hold at once."""
        for row in self.group_rows():
            yield from_json(GroupRecord, row)

    def group_rows(self) -> Iterator[JSON]:
        """Yield every group as plain JSON, for passes that look at a few fields only."""
        return read_objects(self.path / "groups.jsonl")

    def evaluations(self) -> list[EvaluationEntry]:
        """Return every finished evaluation, by step and name."""
        entries = []
        for file in sorted((self.path / "evals").glob("*/*/result.json")):
            step = file.parent.parent.name
            if step.isdecimal():
                samples = file.with_name("samples.jsonl")
                result = read_checked(file, shapes.EVALUATION)
                entries.append(EvaluationEntry(int(step), file.parent.name, result, samples))
        return sorted(entries, key=lambda entry: (entry.step, entry.benchmark))

    def _read_last_step(self) -> int:
        last = -1
        for row in read_objects(self.path / "steps.jsonl"):
            last = max(last, step_of(row, "steps.jsonl"))
        return last


def _keep_lines(path: Path, num_steps: int) -> int:
    """Rewrite a record file without the lines of steps >= ``num_steps``; return how many went."""
    if not path.exists():
        return 0
    removed = 0
    with atomic.replacing(path) as file:
        for row in read_objects(path):
            if step_of(row, path.name) < num_steps:
                file.write(jsonl.encode(row) + b"\n")
            else:
                removed += 1
    return removed
