"""How rows share prompts: closed forms against the trainer's own code and exact counting."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction
from math import comb
from types import SimpleNamespace

import pytest

from rephrase_rl.planning.batches import (
    BALANCE_WIDTH,
    Members,
    packed_rows,
    prompts_in_micro_batch,
)
from rephrase_rl.planning.sampling import FINISHED_SHARE, ROWS_AT_ONCE, block_of
from rephrase_rl.rollout import prefix_blocks
from rephrase_rl.rollout.shared_prefix import FINISHED_SHARE_TO_COMPACT
from rephrase_rl.trainers.trl.packing import Span, balance_length, least_cost_rows
from rephrase_rl.trainers.trl.sampling import MAX_ROWS


def test_constants_are_the_trainers() -> None:
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(hidden_size=576))
    assert balance_length(config) == BALANCE_WIDTH + 576
    assert ROWS_AT_ONCE == MAX_ROWS
    assert FINISHED_SHARE == FINISHED_SHARE_TO_COMPACT
    assert [block_of(n) for n in range(1, 40)] == [prefix_blocks.block_of(n) for n in range(1, 40)]


@pytest.mark.parametrize(("groups", "size", "rows"), [(2, 8, 8), (4, 8, 8), (8, 4, 4), (3, 8, 20)])
def test_expected_prompts_of_a_shuffled_micro_batch(groups, size, rows) -> None:
    # A prompt is missed if all rows come from the others': C(N - G, b) / C(N, b).
    total = groups * size
    missed = Fraction(comb(total - size, rows), comb(total, rows))
    exact = float(groups * (1 - missed))
    assert prompts_in_micro_batch(groups, size, rows) == pytest.approx(exact)


def test_whole_batches_have_every_prompt() -> None:
    assert prompts_in_micro_batch(4, 8, 32) == 4
    assert prompts_in_micro_batch(1, 8, 4) == 1


@pytest.mark.parametrize(
    ("prompts", "members", "prompt", "completion", "width"),
    [(8, 8, 40, 24, 128), (2, 8, 128, 64, 576), (2, 8, 128, 512, 576), (1, 8, 16, 900, 128)],
)
def test_packed_rows_are_those_of_the_trainer(prompts, members, prompt, completion, width) -> None:
    groups = [
        [Span(p * members + m, prompt - 1, completion) for m in range(members)]
        for p in range(prompts)
    ]
    rows = least_cost_rows(groups, BALANCE_WIDTH + width)
    batch = packed_rows(prompts, prompt, Members(members, completion), width)
    assert batch.rows == len(rows)
    assert batch.length == max(row.num_tokens for row in rows)


def test_padding_grows_with_the_spread_of_lengths() -> None:
    # 32 rows of 8 members of 20 +- 5 tokens: 5 sqrt(8) sqrt(2 ln 32) above 15 + 160.
    batch = packed_rows(32, 16, Members(8, 20, 5), 128)
    assert batch.rows == 32
    assert batch.length == pytest.approx(175 + 5 * math.sqrt(8 * 2 * math.log(32)))


def test_padding_is_about_that_of_the_trainers_rows() -> None:
    rng = random.Random(0)
    lengths = []
    for _ in range(20):
        groups = [
            [Span(8 * p + m, 15, max(1, round(rng.gauss(20, 5)))) for m in range(8)]
            for p in range(32)
        ]
        rows = least_cost_rows(groups, BALANCE_WIDTH + 128)
        lengths.append(len(rows) * max(row.num_tokens for row in rows))
    batch = packed_rows(32, 16, Members(8, 20, 5), 128)
    assert batch.tokens == pytest.approx(statistics.fmean(lengths), rel=0.05)
