"""A resumed run is the run that was not interrupted, at any step, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl.trainer.utils import RepeatSampler

from fakes import tiny_model
from rephrase_rl.errors import CheckpointError
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.trainers.trl.order import repeated_order
from resume_runs import as_killed_after, config, differences, train
from trl_fakes import rows, trainer

pytestmark = pytest.mark.integration

WITHIN_A_BATCH = {"num_iterations": 2, "steps_per_generation": 4}
"""Eight optimiser steps for one generation batch."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(config(**WITHIN_A_BATCH), tmp_path_factory.mktemp("whole") / "run")


def test_run_resumed_within_a_generation_batch_is_the_same_run(whole, tmp_path) -> None:
    resumed = as_killed_after(whole, 3, tmp_path / "run")
    train(config(**WITHIN_A_BATCH), resumed, resume=True)
    assert differences(whole, resumed) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 4, 5, 7, 8, 9])
@pytest.mark.parametrize(
    ("method", "guidance", "trainer"),
    [
        ("repo", {}, WITHIN_A_BATCH),
        # Three micro-batches to a step and four to a generation batch: no step begins one but
        # every fourth.
        ("repo", {}, {"gradient_accumulation_steps": 3, "steps_per_generation": 4}),
        ("grpo", {"no_spread": {"policy": "resample"}}, WITHIN_A_BATCH),
        ("repo", {"source": {"sampling": "anticipated"}}, WITHIN_A_BATCH),
        ("relift", {"slot": {"size": 2}}, WITHIN_A_BATCH),
        ("chord", {}, {"steps_per_generation": 4}),
        ("replay", {"gate": {"kind": "always"}, "accept": []}, WITHIN_A_BATCH),
        ("repo", {}, {"beta": 0.05, "steps_per_generation": 4}),
        ("sft", {}, {"gradient_accumulation_steps": 3}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_any_step_of_any_setting(
    tmp_path_factory, request, method, guidance, trainer, step
) -> None:
    chosen = config(method, guidance=guidance, max_steps=10, **trainer)
    key = repr((method, guidance, trainer))
    made = request.config.stash.setdefault(WHOLE_RUNS, {})
    if key not in made:
        made[key] = train(chosen, tmp_path_factory.mktemp("whole") / "run")
    resumed = as_killed_after(made[key], step, tmp_path_factory.mktemp("part") / "run")
    train(chosen, resumed, resume=True)
    assert differences(made[key], resumed) == []


WHOLE_RUNS = pytest.StashKey[dict]()


def test_order_of_later_epochs_is_that_of_trls_sampler() -> None:
    def sampler() -> RepeatSampler:
        return RepeatSampler(list(range(7)), 2, batch_size=3, repeat_count=2, seed=9)

    theirs = sampler()
    epochs = [list(theirs) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    ours = repeated_order(sampler())
    assert [list(ours) for _ in range(3)] == epochs
    resumed = repeated_order(sampler())
    resumed.set_epoch(2)
    assert list(resumed) == epochs[2]


class Letters:
    """A reward that differs between random texts, and a column of its own in the table."""

    __name__ = "letters"

    def __call__(self, prompts, completions, log_extra=None, **kwargs) -> list[float]:
        texts = [text[0]["content"] for text in completions]
        if log_extra is not None:
            log_extra("length", [len(text) for text in texts])
        return [sum(map(ord, text)) % 7 / 7 for text in texts]


def model_on_disk(folder: Path) -> Any:
    """TRL loads the reference policy from where the policy was loaded."""
    if not folder.exists():
        tiny_model().save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder)


def two_halves(tmp_path, **args):
    """A trainer that ran 6 steps, and one that took over from it at step 2."""
    values = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, **args}
    made = []
    for name in ("whole", "part"):
        one = trainer(
            tmp_path / name,
            Guidance(),
            model=model_on_disk(tmp_path / "model"),
            reward_funcs=Letters(),
            args=values,
            data=rows() * 2,
        )
        folder = tmp_path / "whole" / "checkpoint-2"
        one.train(resume_from_checkpoint=str(folder) if name == "part" else None)
        made.append(one)
    return made


def assert_equal_weights(one, other) -> None:
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_adapters_keep_the_number_format_in_which_they_were_trained(tmp_path) -> None:
    """In bfloat16, as TRL has them beside weights in 4 bits; PEFT reads them as float32."""
    made = []
    for name in ("whole", "part"):
        one = trainer(
            tmp_path / name,
            Guidance(),
            reward_funcs=Letters(),
            peft_config=LoraConfig(r=2, target_modules="all-linear"),
            args={"max_steps": 4, "save_strategy": "steps", "save_steps": 2},
            data=rows() * 2,
        )
        for parameter in one.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()
        folder = tmp_path / "whole" / "checkpoint-2"
        one.train(resume_from_checkpoint=str(folder) if name == "part" else None)
        made.append(one)
    assert_equal_weights(*made)
    trained = [p for p in made[1].model.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.bfloat16}


def test_figures_that_wait_for_the_next_log_line_are_kept(tmp_path) -> None:
    # Logged after steps 4 and so on: the checkpoint after step 2 has two steps unlogged.
    whole, part = two_halves(
        tmp_path, logging_steps=4, steps_per_generation=4, log_completions=True
    )
    assert_equal_weights(whole, part)

    def logged(one) -> list[dict]:
        skipped = ("time", "runtime", "per_second", "train_loss")
        return [
            {k: v for k, v in line.items() if not any(word in k for word in skipped)}
            for line in one.state.log_history
        ]

    assert logged(part) == logged(whole)
    assert any("loss" in line for line in logged(part))
    table = "completions/completions_00004.parquet"
    one, other = (Dataset.from_parquet(str(tmp_path / f / table)) for f in ("whole", "part"))
    assert one.to_list() == other.to_list()


@pytest.mark.slow
def test_a_reference_that_follows_the_policy_is_kept(tmp_path) -> None:
    moving = {"sync_ref_model": True, "ref_model_sync_steps": 1, "ref_model_mixup_alpha": 0.5}
    whole, part = two_halves(tmp_path, beta=0.5, num_iterations=2, **moving)
    assert_equal_weights(whole, part)
    for a, b in zip(whole.ref_model.parameters(), part.ref_model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_data_of_the_batch_must_fit_the_batch(tmp_path) -> None:
    values = {"save_strategy": "steps", "save_steps": 1, "steps_per_generation": 2}
    trainer(tmp_path, Guidance(), reward_funcs=Letters(), args=values).train()
    other = trainer(
        tmp_path,
        Guidance(),
        reward_funcs=Letters(),
        args=values | {"steps_per_generation": 3, "max_steps": 2},
        data=rows() * 2,
    )
    with pytest.raises(CheckpointError, match=r"required \[4, 2, 1, 2\]"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


@pytest.mark.parametrize("field", ["ignore_data_skip", "save_only_model"])
def test_settings_that_cannot_be_exact_are_refused(tmp_path, field) -> None:
    values = {"save_strategy": "steps", "save_steps": 1}
    trainer(tmp_path, Guidance(), reward_funcs=Letters(), args=values).train()
    other = trainer(tmp_path, Guidance(), reward_funcs=Letters(), args=values | {field: True})
    with pytest.raises(CheckpointError, match=f"set {field} to false"):
        other.train(resume_from_checkpoint=True)
