"""Pretraining: seeded, staged, recorded; and what its text contains."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("transformers")

from rephrase_rl.lab.chains import EASY_LEVELS, UNFINISHED_LEVELS
from rephrase_rl.lab.corpus import Mixture, draw_text
from rephrase_rl.lab.pretrain import (
    LOG_FILE,
    RECORD_FILE,
    PretrainSettings,
    base_stages,
    make_policy,
    shortened,
)
from rephrase_rl.lab.problems import answer_in
from rephrase_rl.lab.splits import split_of
from rephrase_rl.lab.tokenizer import MAX_LENGTH, rewrite_prompt

if TYPE_CHECKING:
    from pathlib import Path


def tiny_stages(seed: int) -> list[PretrainSettings]:
    stages = shortened(base_stages(seed), 6)
    return [dataclasses.replace(stage, batch=16) for stage in stages]


@pytest.mark.integration
def test_same_seed_same_policy_and_all_stages_are_recorded(tmp_path: Path) -> None:
    weights = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        make_policy(tiny_stages(seed), tmp_path / name, command="made by a test")
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
    record = json.loads((tmp_path / "one" / RECORD_FILE).read_text())
    assert [stage["settings"]["seed"] for stage in record] == [0, 1, 2]
    assert [stage["settings"]["start"] for stage in record] == [None, "one", "one"]
    assert str(tmp_path) not in json.dumps(record)
    log = [json.loads(line) for line in (tmp_path / "one" / LOG_FILE).read_text().splitlines()]
    assert [line["stage"] for line in log] == [0, 1, 2]


def test_shortened_keeps_proportions() -> None:
    assert [stage.steps for stage in shortened(base_stages(), 150)] == [90, 35, 25]


def test_learning_rate_rises_then_falls() -> None:
    settings = PretrainSettings(steps=100, warmup=10)
    factors = [settings.learning_rate_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == pytest.approx(1.0)
    assert factors[9:] == sorted(factors[9:], reverse=True)
    # The last step is one step before the end of the cosine.
    assert 0.02 <= factors[-1] < 0.021


@pytest.mark.parametrize("stage", range(3))
def test_hard_chains_are_never_solved_in_the_text(stage: int) -> None:
    rng = random.Random(0)
    levels: Counter[int] = Counter()
    for _ in range(20_000):
        text = draw_text(rng, base_stages()[stage].mixture)
        if not text.content[0].isdigit():
            continue
        level = len(text.content) // 2 - 1
        levels[level] += 1
        assert split_of(text.content) == "train"
        answer = answer_in(text.completion)
        assert answer is not None
        if level in UNFINISHED_LEVELS:
            assert len(answer) < level
        else:
            assert len(answer) == level
    assert set(levels) == {1, 2, *EASY_LEVELS, *UNFINISHED_LEVELS}


def test_every_text_fits_into_the_positions() -> None:
    rng = random.Random(1)
    longest = max(
        len(text.content) + len(text.completion)
        for text in (draw_text(rng, Mixture()) for _ in range(20_000))
    )
    assert longest + 4 < MAX_LENGTH


def test_corrupted_share_is_the_share_of_unfaithful_rewritings() -> None:
    rng = random.Random(2)
    mixture = Mixture(solve=0.0, rewrite=1.0, corrupted_share=0.5)
    texts = [draw_text(rng, mixture) for _ in range(4000)]
    start = rewrite_prompt("", "").partition("<expert>")[0]
    assert all(text.content.startswith(start) for text in texts)
    by_length: dict[bool, list[bool]] = {True: [], False: []}
    for text in texts:
        level = len(text.content.partition("<expert>")[0].removeprefix("<rewrite>")) // 2 - 1
        unfaithful = answer_in(text.content) != answer_in(text.completion)
        by_length[level in UNFINISHED_LEVELS].append(unfaithful)
    assert not any(by_length[False])
    # About 2,000 are long; five standard deviations of a share of 2,000 are 0.056.
    assert abs(sum(by_length[True]) / len(by_length[True]) - 0.5) < 0.056
