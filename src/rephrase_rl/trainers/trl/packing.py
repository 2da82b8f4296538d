"""Which members of a prompt share a packed row, so that the forward pass is cheapest."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Span(NamedTuple):
    """Where a member's real tokens lie in its row of TRL's micro-batch."""

    row: int
    """Row, 0 to B - 1."""
    num_shared: int
    """Tokens of its prompt without the last one."""
    length: int
    """Completion tokens up to the last real one."""


class PackedRow(NamedTuple):
    """One prompt and some of its members."""

    members: tuple[Span, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens of the row without padding."""
        return self.members[0].num_shared + sum(member.length for member in self.members)


def balance_length(config: Any) -> int:
    """Row length L at which attention, growing with L^2, costs as much as all that grows with L.

    By counting products it would be 6 times the width; but attention does fewer of them per second,
    and norms and the like cost something at any width. The numbers are fitted to timings on a CPU
    at widths 128 and 576, float32 and bfloat16, where the cost is flat around its minimum. None
    were taken on a GPU.

    Args:
        config: The model's.
    """
    return 768 + int(config.get_text_config().hidden_size)


def least_cost_rows(groups: Sequence[Sequence[Span]], balance: int) -> list[PackedRow]:
    """Share the members of each prompt out to packed rows so that the forward pass is cheapest.

    One long row per prompt computes the prompt once but has attention scores between members that
    are masked out, and pads all other rows to its length; a row per member is TRL's batch. The cost
    of N rows of L tokens, padding included, is N L (L + balance). A limit on L fixes the rows: each
    prompt gets as few as keep it, members spread so that its longest row is short. Of all limits
    that change anything, the one of least cost is taken.

    Args:
        groups: Members of each distinct prompt.
        balance: From ``balance_length``.
    """
    options = [
        [_spread(members, parts) for parts in range(1, len(members) + 1)] for members in groups
    ]
    lengths = [[max(row.num_tokens for row in rows) for rows in each] for each in options]
    lowest = max(min(each) for each in lengths)
    best: list[PackedRow] = []
    least = math.inf
    for limit in sorted({length for each in lengths for length in each if length >= lowest}):
        rows = [
            row
            for each, longest in zip(options, lengths, strict=True)
            for row in next(o for o, length in zip(each, longest, strict=True) if length <= limit)
        ]
        longest_row = max(row.num_tokens for row in rows)
        cost = len(rows) * longest_row * (longest_row + balance)
        if cost < least:
            best, least = rows, cost
    return best


def _spread(members: Sequence[Span], parts: int) -> list[PackedRow]:
    """Share members out to rows of about the same length: the longest first, to the shortest."""
    rows: list[list[Span]] = [[] for _ in range(parts)]
    fill = [(0, i) for i in range(parts)]
    for member in sorted(members, key=lambda m: -m.length):
        tokens, i = heapq.heappop(fill)
        rows[i].append(member)
        heapq.heappush(fill, (tokens + member.length, i))
    return [PackedRow(tuple(row)) for row in rows]
