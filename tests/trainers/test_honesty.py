"""Shares of tokens at which the ratio is clipped, by hand, for each form of clipping."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from rephrase_rl.guidance.training import ClippedRatio, NegativeLogLikelihood
from rephrase_rl.trainers.trl.honesty import record_honesty

RATIO = torch.tensor([[1.5, 1.0, 1.0, 1.0], [1.5, 2.5, 0.5, 1.0]])
"""Row 0: own tokens. Row 1: injected."""


def clip_fractions(rule=None, level="token", loss_type="dapo", high=0.2, advantages=(1.0, 1.0)):
    made = SimpleNamespace(
        importance_sampling_level=level,
        loss_type=loss_type,
        epsilon_low=0.2,
        epsilon_high=high,
        guidance=SimpleNamespace(train=rule or ClippedRatio()),
        accelerator=SimpleNamespace(gather=lambda tensor: tensor),
        _metrics={"train": defaultdict(list)},
    )
    inputs = {
        "completion_mask": torch.ones_like(RATIO),
        "injected_mask": torch.tensor([[False] * 4, [True] * 4]),
        "old_per_token_logps": torch.full_like(RATIO, -1.0),
        "advantages": torch.tensor(advantages),
    }
    record_honesty(made, inputs, RATIO.log() - 1.0)
    found = made._metrics["train"]
    return [found[f"{name}/clip_fraction"][0] for name in ("rollouts", "injection")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.25, 0.5]),
        ({"advantages": (-1.0, -1.0)}, [0.0, 0.25]),
        # Geometric means of the rows: 1.107 and (1.5 * 2.5 * 0.5) ** 0.25 = 1.170.
        ({"level": "sequence"}, [0.0, 0.0]),
        ({"level": "sequence", "high": 0.15}, [0.0, 1.0]),
        ({"loss_type": "cispo", "high": 2.0}, [0.0, 0.25]),
        ({"loss_type": "cispo", "high": 2.0, "advantages": (-1.0, -1.0)}, [0.0, 0.0]),
        ({"rule": NegativeLogLikelihood()}, [0.25, 0.0]),
    ],
)
def test_clip_share_is_that_of_the_loss(settings, expected) -> None:
    assert clip_fractions(**settings) == pytest.approx(expected)
