"""What was drawn from a seed once is drawn from it for ever: stored runs depend on it."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("transformers")

from rephrase_rl.lab.corpus import draw_text
from rephrase_rl.lab.pretrain import base_stages, poor_rewriter_stages
from rephrase_rl.lab.problems import (
    easy_problems,
    general_problems,
    hard_problems,
    make_problems,
    mixed_training_problems,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rephrase_rl.records import Problem

SETS: dict[str, tuple[Callable[[], list[Problem]], str]] = {
    "hard, alien": (lambda: hard_problems(40, split="test", seed=1), "dafbdb80d3a791dc"),
    "hard, near, some wrong": (
        lambda: hard_problems(40, split="train", seed=2, expert="near", expert_error_rate=0.3),
        "09c628db807b3feb",
    ),
    "easy": (lambda: easy_problems(40, split="check", seed=7), "3e325d5e1e49454f"),
    "general": (lambda: general_problems(40, split="test", seed=1), "2e5434a475a9419b"),
    "mixed": (lambda: mixed_training_problems(64, 0), "3c24d9103d8e8077"),
    "mixed, other shares": (
        lambda: mixed_training_problems(64, 3, hard_share=0.9, easy_share=0.1, easy_levels=(4,)),
        "04d31d1cd368cdb2",
    ),
    "one level": (
        lambda: make_problems("chain", level=5, count=20, split="train", seed=4),
        "fbc36c515895aea8",
    ),
}
TEXTS = ("a40ff21aee7e292a", "d098b867da680a10", "64d46811030bb45d", "d0fd0673bb74148f")


def digest(rows: Iterable[object]) -> str:
    lines = "\n".join(json.dumps(row, sort_keys=True) for row in rows)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", SETS)
def test_problems_of_a_seed(name: str) -> None:
    make, stored = SETS[name]
    assert digest(asdict(problem) for problem in make()) == stored


@pytest.mark.parametrize("stage", range(4))
def test_pretraining_texts_of_a_seed(stage: int) -> None:
    settings = (*base_stages(1), *poor_rewriter_stages(1))[stage]
    rng = random.Random(stage)
    texts = [draw_text(rng, settings.mixture) for _ in range(1500)]
    assert digest(asdict(text) for text in texts) == TEXTS[stage]
