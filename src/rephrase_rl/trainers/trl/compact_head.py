"""On a CPU, let TRL's fused head score the labelled positions only, as it does on a GPU.

TRL 1.16 drops positions without a label before the vocabulary projection on devices with Triton and
projects every position elsewhere, since on Neuron a changing number of positions would mean a
recompilation. On a CPU that costs the projection of every prompt and padding token, forward and
backward. The switch is the private name ``trl.trainer.utils._use_triton``; the kernels have a name
of their own, so setting the former calls no Triton.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import TYPE_CHECKING

import trl.trainer.utils as trl_utils
from packaging.version import Version

from rephrase_rl.trainers.trl.compatibility import BELOW, LOWEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@contextlib.contextmanager
def compact_head(device: torch.device) -> Iterator[None]:
    """For the forward passes in the block, leave positions without a label out of the projection.

    Values and gradients are those of the whole projection. Nothing changes on any other device than
    a CPU, or where TRL is not a tested version. The backward pass may run outside the block.

    Args:
        device: Where the model is.
    """
    if device.type != "cpu" or not Version(LOWEST) <= Version(version("trl")) < Version(BELOW):
        yield
        return
    before = trl_utils._use_triton
    trl_utils._use_triton = _always
    try:
        yield
    finally:
        trl_utils._use_triton = before


def _always(device: torch.device) -> bool:
    return True
