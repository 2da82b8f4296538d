"""Pretraining: seeded, staged, recorded; and what its text contains."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("transformers")

from rephrase_rl.lab.bars import main as bars_main
from rephrase_rl.lab.chains import EASY_LEVELS, UNFINISHED_LEVELS
from rephrase_rl.lab.corpus import Mixture, draw_text
from rephrase_rl.lab.families import AB, FAMILIES
from rephrase_rl.lab.pretrain import (
    LOG_FILE,
    RECORD_FILE,
    PretrainSettings,
    base_stages,
    make_policy,
    shortened,
)
from rephrase_rl.lab.pretrain import main as pretrain_main
from rephrase_rl.lab.problems import answer_in
from rephrase_rl.lab.splits import split_of
from rephrase_rl.lab.tokenizer import MAX_LENGTH, rewrite_prompt

if TYPE_CHECKING:
    from pathlib import Path

    from rephrase_rl.lab.family import Family


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


@pytest.mark.integration
def test_commands_make_and_measure_a_policy_of_the_second_family(tmp_path: Path, capsys) -> None:
    made = tmp_path / "ab-base-0"
    pretrain_main(["--family", "ab", "--out", str(made), "--seed", "0", "--steps", "3"])
    record = json.loads((made / RECORD_FILE).read_text())
    assert [stage["settings"]["family"] for stage in record] == ["ab"] * 4
    assert record[0]["command"].endswith("--family ab --out ab-base-0 --seed 0 --steps 3")
    few = ["--hard-rollouts", "8", "--samples", "4", "--save"]
    assert bars_main([str(made), "--family", "ab", *few]) == 1
    assert "MISSED: easy accuracy, level 3 is 0; required is [0.98, 1]" in capsys.readouterr().out
    bars = json.loads((made / "bars.json").read_text())
    assert (bars["family"], set(bars["easy_accuracy"])) == ("ab", {"3", "4"})


def test_a_poor_rewriter_of_another_family_needs_its_base(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        pretrain_main(["--family", "ab", "--rewriter", "poor", "--out", str(tmp_path)])
    assert "no base of the family ab is shipped" in capsys.readouterr().err


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


def test_hard_programs_are_never_solved_in_the_text() -> None:
    rng = random.Random(0)
    levels: Counter[int] = Counter()
    for _ in range(5_000):
        text = draw_text(rng, base_stages(family="ab")[0].mixture, AB)
        program = AB.read(text.content)
        if program is None:
            continue
        levels[program.level] += 1
        assert split_of(text.content) == "train"
        is_right = answer_in(text.completion) == AB.answer(program.reductions)
        assert is_right == (program.level not in AB.unfinished_levels)
    assert set(levels) == {1, 2, *AB.easy_levels, *AB.unfinished_levels}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_text_fits_into_the_positions(family: Family) -> None:
    rng = random.Random(1)
    texts = [draw_text(rng, Mixture(), family) for _ in range(10_000)]
    assert max(len(text.content) + len(text.completion) for text in texts) + 4 < MAX_LENGTH
    # The end token, too, has to fit into what is sampled, however the expert's style is imitated.
    assert max(len(text.completion) for text in texts) < family.longest


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
