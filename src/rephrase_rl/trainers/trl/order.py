"""The order in which problems come: TRL's, and the same one in a run resumed in a later epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from trl.trainer.utils import RepeatSampler

if TYPE_CHECKING:
    from collections.abc import Iterator


class RepeatedOrder(RepeatSampler):
    """TRL's sampler, which can be set to an epoch.

    TRL's draws each epoch's permutation from one stream and forgets, when a run is resumed, that
    earlier epochs have drawn from it.
    """

    _epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, that the next iteration gives."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed(self.seed)
            for _ in range(self._epoch):
                torch.randperm(self.num_samples, generator=self.generator)
        self._epoch += 1
        yield from super().__iter__()


def repeated_order(sampler: RepeatSampler) -> RepeatedOrder:
    """The order that a sampler of TRL gives."""
    return RepeatedOrder(
        sampler.data_source,
        sampler.mini_repeat_count,
        sampler.batch_size,
        sampler.repeat_count,
        sampler.shuffle,
        sampler.seed,
    )
