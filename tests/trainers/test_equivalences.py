"""The same training in another arrangement: largest and mean difference of weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_repo_trainer import rewrite_or

from rephrase_rl.assembly.blocks import preset_guidance
from trl_fakes import QUESTIONS, CountingReward, trainer

pytestmark = pytest.mark.integration

ROUNDING = 2e-7
"""Sums in another order: weights here are below 1 with steps of 2e-3, float32 has 1.2e-7."""


def weights(tmp_path, method: str, **args: Any) -> list[torch.Tensor]:
    """After two steps of plain gradient descent, which passes differences on as they are."""
    made = trainer(
        tmp_path,
        preset_guidance(method),
        script=rewrite_or("x"),
        reward_funcs=CountingReward({f"expert:{question[::-1]}": 1.0 for question in QUESTIONS}),
        args={"max_steps": 2, "optim": "sgd", "num_generations": 2, "max_grad_norm": 0.0} | args,
    )
    made.train()
    return [parameter.detach().clone() for parameter in made.model.parameters()]


def differences(one: list[torch.Tensor], other: list[torch.Tensor]) -> tuple[float, float]:
    """Largest and mean, over all weights."""
    gaps = torch.cat([(a - b).abs().flatten() for a, b in zip(one, other, strict=True)])
    return float(gaps.max()), float(gaps.mean())


@pytest.mark.parametrize(
    ("method", "loss_type"),
    [
        ("repo", "dapo"),
        *[
            pytest.param(method, loss_type, marks=pytest.mark.slow)
            for method in ("repo", "naive")
            for loss_type in ("dapo", "dr_grpo", "grpo")
            if (method, loss_type) != ("repo", "dapo")
        ],
    ],
)
def test_eight_rows_in_one_pass_are_eight_passes_of_one_row(tmp_path, method, loss_type) -> None:
    start = [p.detach().clone() for p in trainer(tmp_path, None).model.parameters()]
    one = weights(tmp_path, method, per_device_train_batch_size=8, loss_type=loss_type)
    eight = weights(
        tmp_path,
        method,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=8,
        loss_type=loss_type,
    )
    moved, _ = differences(start, one)
    largest, mean = differences(one, eight)
    assert moved > 1e-4, "nothing was learned, so nothing was compared"
    assert largest < ROUNDING
    assert mean < ROUNDING / 10


def test_a_loss_without_the_property_differs(tmp_path) -> None:
    """``bnpo`` divides by the tokens of a pass: the test above can tell."""
    one = weights(tmp_path, "repo", per_device_train_batch_size=8, loss_type="bnpo")
    eight = weights(
        tmp_path,
        "repo",
        per_device_train_batch_size=1,
        gradient_accumulation_steps=8,
        loss_type="bnpo",
    )
    assert differences(one, eight)[0] > 100 * ROUNDING
