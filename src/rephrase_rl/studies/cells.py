"""Cells of a study: one is one training run, or the evaluation of one starting policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rephrase_rl.config.study import BASE_ARM

if TYPE_CHECKING:
    from rephrase_rl.config import StudyConfig
    from rephrase_rl.records import JSON

ANY = "any"
"""Stands for a condition that makes no difference to a cell."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: what is varied, and nothing else."""

    arm: str
    protocol: str
    """Training set; ``any`` for a starting policy."""
    expert: str
    """``alien`` or ``near``; ``any`` where no expert is looked at."""
    rewriter: str
    """``good`` or ``poor``: which starting policies."""
    seed: int
    """Of training and of the training problems; for a starting policy its pretraining seed."""
    rate: float | None = None
    """Learning rate; None for a starting policy."""
    sweep: bool = False
    """Whether it is of the sweep: validated, not tested."""

    @property
    def cell_id(self) -> str:
        """Name of its run directory and summary."""
        rate = [] if self.rate is None else [f"lr{self.rate:.2e}"]
        parts = [self.protocol, self.expert, self.rewriter, self.arm, *rate, f"s{self.seed}"]
        return "-".join(part for part in parts if part != ANY)

    def to_json(self) -> dict[str, JSON]:
        """As a summary holds it."""
        return {name: getattr(self, name) for name in self.__slots__}


def base_cell(rewriter: str, pretraining_seed: int) -> Cell:
    """The evaluation of a starting policy."""
    return Cell(BASE_ARM, ANY, ANY, rewriter, pretraining_seed)


def pretraining_seed_of(study: StudyConfig, seed: int) -> int:
    """Pretraining seed of the policy that the run of a seed starts from."""
    return study.pretraining_seeds[seed % len(study.pretraining_seeds)]


def looks_at_expert(study: StudyConfig, arm: str) -> bool:
    """Whether the expert's text can make a difference to an arm."""
    from rephrase_rl.methods import resolve_guidance

    config = study.arms[arm]
    if config.first is not None:
        return True
    return resolve_guidance(config.method, config.guidance).source.kind != "none"


def rate_arm(study: StudyConfig, arm: str) -> str:
    """The arm whose sweep decides the learning rate of an arm."""
    return study.arms[arm].rate_of or arm


def condition_expert(study: StudyConfig, arm: str, expert: str) -> str:
    """The expert of a cell of an arm under a condition."""
    return expert if looks_at_expert(study, arm) else ANY


def at_rate(cell: Cell, rate: float) -> Cell:
    """The cell with a learning rate."""
    return replace(cell, rate=rate)
