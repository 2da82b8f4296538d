"""A data set that fills no generation batch is refused: TRL would train without a step."""

from __future__ import annotations

import pytest

from rephrase_rl.errors import ConfigError
from trl_fakes import rows, trainer


def test_too_few_problems_are_refused_and_just_enough_are_not(tmp_path) -> None:
    """8 rows of 2 generations: 4 different problems."""
    args = {"per_device_train_batch_size": 8}
    with pytest.raises(ConfigError, match="has 3 problems, and a generation batch takes 4"):
        trainer(tmp_path, None, data=rows(3), args=args)
    made = trainer(tmp_path, None, data=rows(4), args=args, script=lambda p, _: ["x"] * len(p))
    made.train()
    assert made.state.global_step == 1
