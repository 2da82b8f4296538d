"""Starting policies of a study: the shipped ones, and others that are made once and kept.

A policy of another pretraining seed or task family than the shipped ones takes some fifteen minutes
on one core, a poor rewriter three more. They are made on one thread, where the same seed gives the
same weights on the same kind of machine; every summary names the hash of the weights that its run
started from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rephrase_rl.lab.corpus import Mixture
from rephrase_rl.lab.families import CHAIN, family_named
from rephrase_rl.lab.policies import policy_path
from rephrase_rl.lab.pretrain import (
    PretrainSettings,
    base_stages,
    make_policy,
    poor_rewriter_stages,
)
from rephrase_rl.runs import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.records import JSON

SHIPPED_SEED = 0
"""Pretraining seed of the shipped policies, which are of the family of chains."""
SHIPPED = {"good": "base", "poor": "poor_rewriter"}
WEIGHTS = "model.safetensors"
RECORD = "pretrain.json"
BARS = "bars.json"
POLICIES = "policies"
"""Folder of the starting policies within the folder of a study."""


@dataclass(frozen=True, slots=True)
class StartingPolicy:
    """Where a policy lies, and which one it is."""

    folder: Path
    name: str
    pretraining_seed: int
    sha256: str
    """Of the weights."""


def starting_policy(
    folder: Path, rewriter: str, seed: int, family: str = CHAIN.kind
) -> StartingPolicy:
    """The policy of a pretraining seed; made in ``folder`` if it is not there or only half there.

    Args:
        folder: Of all policies of the study.
        rewriter: ``good`` or ``poor``.
        seed: Pretraining seed; that of 0 is shipped for chains.
        family: Name of the task family.
    """
    if _is_shipped(seed, family):
        name = SHIPPED[rewriter]
        return _found(policy_path(name), name, seed)
    name = policy_name(rewriter, seed, family)
    path = folder / name
    stages = _stages(folder, rewriter, seed, family)
    if not _is_made(path, stages):
        _make(path, stages, name)
    if not (path / BARS).is_file():
        _measure(path, rewriter, family)
    return _found(path, name, seed)


def is_there(folder: Path, rewriter: str, seed: int, family: str = CHAIN.kind) -> bool:
    """Whether a policy need not be made first."""
    if _is_shipped(seed, family):
        return True
    made = _is_made(folder / policy_name("good", seed, family), base_stages(seed, family))
    if rewriter == "good" or not made:
        return made
    path = folder / policy_name(rewriter, seed, family)
    return _is_made(path, poor_rewriter_stages(seed, family=family))


def policy_name(rewriter: str, seed: int, family: str) -> str:
    """Name of a policy that is made, and of its folder.

    Example:
        >>> policy_name("good", 1, "chain"), policy_name("good", 0, "ab")
        ('base-1', 'ab-base-0')
    """
    prefix = "" if family == CHAIN.kind else f"{family}-"
    return f"{prefix}{SHIPPED[rewriter]}-{seed}"


def _is_shipped(seed: int, family: str) -> bool:
    return seed == SHIPPED_SEED and family == CHAIN.kind


def _stages(folder: Path, rewriter: str, seed: int, family: str) -> tuple[PretrainSettings, ...]:
    if rewriter == "good":
        return base_stages(seed, family)
    base = starting_policy(folder, "good", seed, family)
    return poor_rewriter_stages(seed, str(base.folder), family)


def _is_made(path: Path, stages: tuple[PretrainSettings, ...]) -> bool:
    """Whether the record, which pretraining writes last, names exactly these last stages."""
    if not (path / WEIGHTS).is_file() or not (path / RECORD).is_file():
        return False
    records = json.loads((path / RECORD).read_text(encoding="utf-8"))
    made = [_settings_of(record) for record in records[-len(stages) :]]
    return made == [{**asdict(settings), "start": None} for settings in stages]


def _settings_of(record: dict[str, JSON]) -> dict[str, JSON]:
    """Settings of a record; one from before a setting existed had its default."""
    settings = {**asdict(PretrainSettings()), **record["settings"], "start": None}
    return {**settings, "mixture": {**asdict(Mixture()), **settings["mixture"]}}


def _make(path: Path, stages: tuple[PretrainSettings, ...], name: str) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        make_policy(stages, path, f"rephrase-rl study, policy {name}")
    finally:
        torch.set_num_threads(threads)


def _measure(path: Path, rewriter: str, family: str) -> None:
    """The lab's bars of a policy, told in the study's card; none is excluded for missing one."""
    from rephrase_rl.lab.bars import measure_bars

    bars = measure_bars(path, poor_rewriter=rewriter == "poor", family=family_named(family))
    atomic.write_text(path / BARS, json.dumps(asdict(bars), indent=2) + "\n")


def _found(path: Path, name: str, seed: int) -> StartingPolicy:
    digest = hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest()
    return StartingPolicy(path, name, seed, digest)
