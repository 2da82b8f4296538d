"""Several shared-prefix caches decoded in one pass: prompts with many rows, prompts with few.

A ``SharedPrefixCache`` lays out equally many slots for each of its prompts, padded to the longest.
Where eight prompts have eight rows each and eight longer ones a single row, half of the slots would
be spare. So each kind keeps a cache of its own, and only the layers' products with weights see all
rows together. May import torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache

from rephrase_rl.rollout.prefix_attention import SharedPrefixCache, require_unchanged


def block_of(copies: int) -> int:
    """Blocks hold prompts whose numbers of rows lie between the same two powers of two."""
    return copies.bit_length()


class PrefixBlocks(Cache):  # type: ignore[misc]  # transformers is untyped
    """Caches of consecutive blocks of rows, used as one.

    Args:
        blocks: Cache and number of rows of each block; at least one.
    """

    def __init__(self, blocks: Sequence[tuple[SharedPrefixCache, int]]) -> None:
        super().__init__(layers=[])
        self._caches = [cache for cache, _ in blocks]
        self._rows = [rows for _, rows in blocks]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the columns of the widest block, padding included."""
        return max(cache.get_seq_length(layer_idx) for cache in self._caches)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what came in; ``attend`` keeps it."""
        self._arrived = (key_states, value_states)
        return key_states, value_states

    def begin_step(self) -> None:
        """Make room for one more token in every row; to be called before each forward pass."""
        for cache in self._caches:
            cache.begin_step()

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        """As ``SharedPrefixCache.attend``, each block for its own rows; returns (B, 1, H, D)."""
        require_unchanged(self._arrived, (key, value))
        states = (torch.split(each, self._rows) for each in (query, key, value))
        outputs = []
        for cache, own_query, own_key, own_value in zip(self._caches, *states, strict=True):
            cache.update(own_key, own_value)
            outputs.append(cache.attend(layer, own_query, own_key, own_value, scaling))
        return torch.cat(outputs)

    def select_rows(self, kept: Sequence[int]) -> None:
        """Forget all rows but these, and blocks that have none left.

        Args:
            kept: Indices of rows, ascending, at least one. They become rows 0, 1, ...
        """
        left, first = [], 0
        for cache, rows in zip(self._caches, self._rows, strict=True):
            own = [row - first for row in kept if first <= row < first + rows]
            first += rows
            if 0 < len(own) < rows:
                cache.select_rows(own)
            if own:
                left.append((cache, len(own)))
        self._caches = [cache for cache, _ in left]
        self._rows = [rows for _, rows in left]
