"""What is drawn within a fork is of its own seed, and leaves the streams outside as they were."""

from __future__ import annotations

import numpy as np
import torch

from rephrase_rl.seeding import forked_rng


def drawn() -> tuple[int, int]:
    """From torch's generator, and from numpy's, which vLLM takes the seeds of its requests from."""
    return int(torch.randint(2**31, ())), int(np.random.randint(2**31))  # noqa: NPY002


def test_a_fork_has_its_own_streams_and_leaves_the_others_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = [drawn() for _ in range(2)]
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = drawn()
    inside = []
    for seed in (8, 8, 9):
        with forked_rng(seed):
            inside.append(drawn())
    assert [before, drawn()] == expected
    assert inside[0] == inside[1]
    assert inside[0][0] != inside[2][0]
    assert inside[0][1] != inside[2][1]
