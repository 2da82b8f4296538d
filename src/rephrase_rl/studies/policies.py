"""Starting policies of a study: the shipped ones, and others that are made once and kept.

A policy of another pretraining seed takes some fifteen minutes on one core, a poor rewriter three
more. They are made on one thread, where the same seed gives the same weights on the same kind of
machine; every summary names the hash of the weights that its run started from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rephrase_rl.lab.policies import policy_path
from rephrase_rl.lab.pretrain import base_stages, make_policy, poor_rewriter_stages
from rephrase_rl.runs import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.lab.pretrain import PretrainSettings

SHIPPED_SEED = 0
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


def starting_policy(folder: Path, rewriter: str, seed: int) -> StartingPolicy:
    """The policy of a pretraining seed; made in ``folder`` if it is not there or only half there.

    Args:
        folder: Of all policies of the study.
        rewriter: ``good`` or ``poor``.
        seed: Pretraining seed; 0 is shipped.
    """
    name = SHIPPED[rewriter]
    if seed == SHIPPED_SEED:
        return _found(policy_path(name), name, seed)
    name = f"{name}-{seed}"
    path = folder / name
    stages = _stages(folder, rewriter, seed)
    if not _is_made(path, stages):
        _make(path, stages, name)
    if not (path / BARS).is_file():
        _measure(path, rewriter)
    return _found(path, name, seed)


def is_there(folder: Path, rewriter: str, seed: int) -> bool:
    """Whether a policy need not be made first."""
    if seed == SHIPPED_SEED:
        return True
    made = _is_made(folder / f"{SHIPPED['good']}-{seed}", base_stages(seed))
    if rewriter == "good" or not made:
        return made
    return _is_made(folder / f"{SHIPPED[rewriter]}-{seed}", poor_rewriter_stages(seed))


def _stages(folder: Path, rewriter: str, seed: int) -> tuple[PretrainSettings, ...]:
    if rewriter == "good":
        return base_stages(seed)
    return poor_rewriter_stages(seed, str(starting_policy(folder, "good", seed).folder))


def _is_made(path: Path, stages: tuple[PretrainSettings, ...]) -> bool:
    """Whether the record, which pretraining writes last, names exactly these last stages."""
    if not (path / WEIGHTS).is_file() or not (path / RECORD).is_file():
        return False
    records = json.loads((path / RECORD).read_text(encoding="utf-8"))
    made = [{**record["settings"], "start": None} for record in records[-len(stages) :]]
    wanted = [{**asdict(settings), "start": None} for settings in stages]
    return made == wanted


def _make(path: Path, stages: tuple[PretrainSettings, ...], name: str) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        make_policy(stages, path, f"rephrase-rl study, policy {name}")
    finally:
        torch.set_num_threads(threads)


def _measure(path: Path, rewriter: str) -> None:
    """The lab's bars of a policy, told in the study's card; none is excluded for missing one."""
    from rephrase_rl.lab.bars import measure_bars

    bars = measure_bars(path, poor_rewriter=rewriter == "poor")
    atomic.write_text(path / BARS, json.dumps(asdict(bars), indent=2) + "\n")


def _found(path: Path, name: str, seed: int) -> StartingPolicy:
    digest = hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest()
    return StartingPolicy(path, name, seed, digest)
