"""How rows share prompts: in a micro-batch after shuffling, and in packed rows.

Closed forms of what the trainer does with real lengths; here every member of a group has the mean
length.
"""

from __future__ import annotations

import math
from typing import NamedTuple

BALANCE_WIDTH = 768
"""Row length at which attention costs as much as all else is this plus the model's width: the
trainer's rule for packed rows (a test compares the two)."""


class RowBatch(NamedTuple):
    """Rows of equal length that go through the model together."""

    rows: float
    length: float

    @property
    def tokens(self) -> float:
        """Tokens computed."""
        return self.rows * self.length


def prompts_in_micro_batch(groups: float, group_size: int, rows: float) -> float:
    """Expected number of distinct prompts among rows drawn from whole groups.

    TRL shuffles the rows of a generation batch before it cuts micro-batches from it, so a prompt
    is missed with probability C(N - G, b) / C(N, b).

    Args:
        groups: Prompts of the generation batch, each with all its members.
        group_size: G.
        rows: Rows b of the micro-batch.
    """
    total = groups * group_size
    if rows >= total:
        return groups
    if total - group_size < rows:  # too few other rows to fill it: no prompt can be missed
        return groups
    others = math.lgamma(total - group_size + 1) - math.lgamma(total - group_size - rows + 1)
    whole = math.lgamma(total + 1) - math.lgamma(total - rows + 1)
    return groups * (1.0 - math.exp(others - whole))


def packed_rows(
    prompts: float, members: float, prompt_tokens: float, completion_tokens: float, width: int
) -> RowBatch:
    """Rows [prompt; o_1; ...; o_m] of least cost, as the trainer packs them.

    A prompt's members are spread over 1 to m rows, each with its own copy of the prompt; the cost
    of N rows of L tokens is N L (L + balance).

    Args:
        prompts: Distinct prompts.
        members: Completions of each, at least 1.
        prompt_tokens: Tokens of a prompt.
        completion_tokens: Tokens of a completion.
        width: The model's hidden size.
    """
    balance = BALANCE_WIDTH + width
    options = []
    for parts in range(1, math.ceil(members) + 1):
        longest = math.ceil(members / parts) if members >= parts else 1.0
        length = prompt_tokens - 1 + min(longest, members) * completion_tokens
        options.append(RowBatch(prompts * min(parts, members), length))
    return min(options, key=lambda batch: batch.rows * batch.length * (batch.length + balance))


def plain_rows(rows: float, prompt_tokens: float, completion_tokens: float) -> RowBatch:
    """TRL's own rows: every member with its own copy of the prompt."""
    return RowBatch(rows, prompt_tokens + completion_tokens)
