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


class Members(NamedTuple):
    """Completions of one prompt."""

    number: float
    """At least 1."""
    tokens: float
    """Mean length."""
    spread: float = 0.0
    """Standard deviation of the length."""


def packed_rows(prompts: float, prompt_tokens: float, members: Members, width: int) -> RowBatch:
    """Rows [prompt; o_1; ...; o_m] of least cost, as the trainer packs them.

    A prompt's members are spread over 1 to m rows, each with its own copy of the prompt, and all
    rows are padded to the longest; the cost of N rows of L tokens is N L (L + balance). The longest
    of N sums of j lengths is taken to be sqrt(2 ln N) deviations above their mean.

    Args:
        prompts: Distinct prompts.
        prompt_tokens: Tokens of a prompt.
        members: Completions of each.
        width: The model's hidden size.
    """
    balance = BALANCE_WIDTH + width
    options = []
    for parts in range(1, math.ceil(members.number) + 1):
        rows = prompts * min(parts, members.number)
        each = min(members.number, max(1.0, math.ceil(members.number / parts)))
        padding = members.spread * math.sqrt(each * 2.0 * math.log(max(1.0, rows)))
        options.append(RowBatch(rows, prompt_tokens - 1 + each * members.tokens + padding))
    return min(options, key=lambda batch: batch.rows * batch.length * (batch.length + balance))


def plain_rows(rows: float, prompt_tokens: float, completion_tokens: float) -> RowBatch:
    """TRL's own rows: every member with its own copy of the prompt."""
    return RowBatch(rows, prompt_tokens + completion_tokens)
