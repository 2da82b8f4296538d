"""Runs grouped into arms: runs of one configuration that differ in their seed alone.

What is said of methods is said of arms; a single run is one draw from its arm.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rephrase_rl.errors import CheckpointError
from rephrase_rl.reports.budgets import Budget, measure_budget
from rephrase_rl.reports.config_differences import ABSENT, config_differences
from rephrase_rl.reports.evaluations import last_of_each, read_evaluations
from rephrase_rl.reports.group_tally import tally_groups
from rephrase_rl.runs import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rephrase_rl.records import JSON, StepRecord
    from rephrase_rl.reports.evaluations import EvaluationRow

NOT_OF_THE_METHOD = ("seed", "output_dir", "log", "plan")
"""Entries of a configuration that do not change what is learned, the seed apart."""
NOT_OF_THE_TRAINER = ("report_to", "run_name", "log_completions", "save_total_limit")
"""The same of its ``trainer`` section."""
ARM_FACTS = ("method", "model", "init_from")
"""Entries of a manifest that make another arm, also where the configuration says nothing."""
LONGEST_LABEL = 44
"""Characters of an arm's name; with more its settings are left out and arms are numbered."""
USUAL_BASELINE = "grpo"


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run of a comparison, read once."""

    label: str
    directory: RunDirectory
    steps: Sequence[StepRecord]
    evaluations: Sequence[EvaluationRow]
    budget: Budget

    @property
    def seed(self) -> JSON:
        """Seed of the run, as its manifest has it."""
        return self.directory.manifest.get("seed")

    def last(self, benchmark: str) -> EvaluationRow | None:
        """The evaluation after most steps."""
        return last_of_each(self.evaluations).get(benchmark)

    def at_start(self, benchmark: str) -> EvaluationRow | None:
        """The evaluation before training."""
        rows = [row for row in self.evaluations if row.benchmark == benchmark and row.step == 0]
        return rows[0] if rows else None


@dataclass(frozen=True, slots=True)
class Arm:
    """Runs that differ in their seed alone."""

    label: str
    runs: tuple[ComparedRun, ...]
    """At least one, by seed."""

    @property
    def manifest(self) -> Mapping[str, JSON]:
        """Of the first run; its method and model are those of all."""
        return self.runs[0].directory.manifest


def read_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """Read every run of a comparison.

    Raises:
        CheckpointError: Fewer than two different runs, or one cannot be read.
        EvaluationError: An evaluation result lacks its estimate.
    """
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise CheckpointError(
            f"found {', '.join(map(str, folders)) or 'no runs'}; a comparison needs at least two "
            "different run directories, each named once: name another run"
        )
    runs = []
    for folder, label in zip(folders, label_runs(folders), strict=True):
        directory = RunDirectory.open(folder)
        steps, evaluations = directory.steps(), read_evaluations(directory)
        budget = measure_budget(directory, steps, evaluations, tally_groups(directory))
        runs.append(ComparedRun(label, directory, steps, evaluations, budget))
    return runs


def label_runs(folders: Sequence[Path]) -> list[str]:
    """Return a short name for each run: the fewest last parts of its path that tell all apart.

    Example:
        >>> label_runs([Path("a/grpo"), Path("a/repo")])
        ['grpo', 'repo']
        >>> label_runs([Path("a/repo"), Path("b/repo")])
        ['a/repo', 'b/repo']
    """
    parts = [folder.resolve().parts for folder in folders]
    longest = max((len(part) for part in parts), default=1)
    for length in range(1, longest + 1):
        labels = ["/".join(part[-length:]) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [str(folder.resolve()) for folder in folders]


def group_into_arms(runs: Sequence[ComparedRun]) -> list[Arm]:
    """Group runs into arms, in the order in which the first of each was given."""
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(_arm_key(run), []).append(run)
    members = [sorted(group, key=_seed_order) for group in groups.values()]
    labels = _label_arms([group[0] for group in members])
    return [Arm(label, tuple(group)) for label, group in zip(labels, members, strict=True)]


def choose_baseline(arms: Sequence[Arm], wanted: str | None) -> Arm:
    """The arm that the others are held against.

    Args:
        arms: At least one.
        wanted: An arm's label, or the label or folder of one of its runs. None: the arm of method
            ``grpo`` if there is just one, else the first.

    Raises:
        CheckpointError: There is no such arm, or several have that name.
    """
    if wanted is None:
        usual = [arm for arm in arms if arm.manifest.get("method") == USUAL_BASELINE]
        return usual[0] if len(usual) == 1 else arms[0]
    folder = Path(wanted).resolve()
    found = [arm for arm in arms if arm.label == wanted] or [
        arm
        for arm in arms
        if any(run.label == wanted or run.directory.path.resolve() == folder for run in arm.runs)
    ]
    if len(found) != 1:
        raise CheckpointError(
            f"--baseline: found {wanted!r}, which names {len(found) or 'none'} of the arms; "
            f"required: one of {', '.join(repr(arm.label) for arm in arms)}"
        )
    return found[0]


def arm_warnings(arms: Sequence[Arm]) -> list[str]:
    """What a reader of the comparison has to know of the arms, one sentence each."""
    found = []
    for arm in arms:
        repeated = [seed for seed, n in Counter(str(run.seed) for run in arm.runs).items() if n > 1]
        if repeated:
            found.append(
                f"{arm.label}: several runs have seed {', '.join(repeated)}; they are counted as "
                "different seeds and are not"
            )
        for fact in ("git", "own_code", "policy", "data", "templates", "versions"):
            kinds = {json.dumps(_fact(run, fact), sort_keys=True) for run in arm.runs}
            if len(kinds) > 1:
                found.append(f"{arm.label}: its runs differ in {fact}, not only in the seed")
        found += [
            f"{run.label} has no summary: it is still going on or was stopped"
            for run in arm.runs
            if run.directory.summary is None
        ]
    return found


def _fact(run: ComparedRun, name: str) -> JSON:
    value = run.directory.manifest.get(name)
    if name == "data":
        # What a mixture draws from its sets follows from the seed; the sets themselves must not.
        sets = run.directory.manifest.get("datasets")
        trained = {
            key: entry.get("sha256")
            for key, entry in (sets.items() if isinstance(sets, dict) else ())
            if key.startswith("train/") and isinstance(entry, dict)
        }
        return trained if len(trained) > 1 else value
    return value.get("commit") if name == "git" and isinstance(value, dict) else value


def _arm_key(run: ComparedRun) -> str:
    manifest = run.directory.manifest
    facts = {name: manifest.get(name) for name in ARM_FACTS}
    return json.dumps([facts, arm_config(run)], sort_keys=True, default=str)


def arm_config(run: ComparedRun) -> JSON:
    """The run's configuration without what does not change what is learned."""
    config = run.directory.config
    if not isinstance(config, dict):
        return config
    kept = {key: value for key, value in config.items() if key not in NOT_OF_THE_METHOD}
    trainer = kept.get("trainer")
    if isinstance(trainer, dict):
        kept["trainer"] = {k: v for k, v in trainer.items() if k not in NOT_OF_THE_TRAINER}
    return kept


def _seed_order(run: ComparedRun) -> tuple[bool, int, str]:
    is_number = isinstance(run.seed, int)
    return not is_number, run.seed if isinstance(run.seed, int) else 0, f"{run.seed} {run.label}"


def _label_arms(first_runs: Sequence[ComparedRun]) -> list[str]:
    """Method and blocks of one's own; where several arms have these, what tells them apart."""
    names = [_method_name(run) for run in first_runs]
    labels = []
    for name, run in zip(names, first_runs, strict=True):
        alike = [other for n, other in zip(names, first_runs, strict=True) if n == name]
        settings = _own_settings(run, alike) if len(alike) > 1 else ""
        label = f"{name} {settings}".strip()
        labels.append(label if len(label) <= LONGEST_LABEL else name[:LONGEST_LABEL])
    return [
        f"{label} ({labels[: place + 1].count(label)})" if labels.count(label) > 1 else label
        for place, label in enumerate(labels)
    ]


def _method_name(run: ComparedRun) -> str:
    """The preset's name, and what of the user's own stands in its blocks: ``repo + PatientGate``.

    With another block it is not that method any more, and must not be called so.
    """
    name = str(run.directory.manifest.get("method") or run.label)
    config = run.directory.config
    guidance = config.get("guidance") if isinstance(config, dict) else None
    own = list(dict.fromkeys(_own_blocks(guidance)))
    whole = " + ".join([name, *own])
    if len(whole) <= LONGEST_LABEL or len(own) < 2:
        return whole
    return f"{name} + {own[0]} + {len(own) - 1} of its own"


def _own_blocks(value: JSON) -> list[str]:
    if isinstance(value, dict):
        own = value.get("kind") == "custom" and isinstance(value.get("target"), str)
        here = [value["target"].rpartition(":")[2]] if own else []
        return here + [name for item in value.values() for name in _own_blocks(item)]
    return [name for item in value for name in _own_blocks(item)] if isinstance(value, list) else []


def _own_settings(run: ComparedRun, alike: Sequence[ComparedRun]) -> str:
    place = alike.index(run)
    differences = config_differences([arm_config(other) for other in alike])
    # Of a block that is another one the kind says enough: the fields of either mean nothing beside.
    kinds = {d.name.removesuffix("kind") for d in differences if d.name.endswith(".kind")}
    told = []
    for name, values in differences:
        block = next((kind for kind in kinds if name.startswith(kind)), None)
        if values[place] != ABSENT and (block is None or name == block + "kind"):
            short = (name if block is None else block.rstrip(".")).rpartition(".")[2]
            told.append(f"{short}={values[place]}")
    return " ".join(told)
