"""Work is counted by the formulas of docs/plan.md: small cases by hand."""

from __future__ import annotations

import pytest

from planning_fakes import TINY
from rephrase_rl.planning.work import Rates, Work, backward_work, decode_work, forward_work


def forward() -> Work:
    return forward_work(
        TINY, rows=3, length=5, scored=4, calls=2, bytes_per_number=4, seen_share=0.5
    )


def test_forward_pass_by_hand() -> None:
    work = forward()
    # 15 tokens x 2 layers x 576 weights x 2, and 4 scored positions x 80 x 2.
    assert work.matmul_flops == 15 * 2 * 576 * 2 + 4 * 80 * 2
    # 4 x 2 layers x width 8 x 3 rows x 25 pairs x half of them.
    assert work.attention_flops == 4 * 2 * 8 * 3 * 25 * 0.5
    # 12 x 8 + 5 x (8 + 4) + 3 x 16 = 204 numbers a token and layer.
    assert work.element_passes == 15 * 2 * 204
    assert work.weight_bytes == 2 * (2 * 576 + 80) * 4
    assert (work.logits, work.layer_calls) == (4 * 10, 2 * 2)


def test_backward_pass_has_two_products_for_one_and_three_in_the_head() -> None:
    work, head = forward(), 4 * 80 * 2
    backward = backward_work(TINY, work, scored=4, trained_share=1.0)
    assert backward.matmul_flops == 2 * (work.matmul_flops - head) + 3 * head
    assert backward.attention_flops == 2.5 * work.attention_flops
    frozen = backward_work(TINY, work, scored=4, trained_share=0.0)
    assert frozen.matmul_flops == (work.matmul_flops - head) + 2 * head


def test_decoding_reads_weights_for_each_call_and_the_cache() -> None:
    work = decode_work(
        TINY,
        calls=7,
        row_steps=21,
        kv_tokens=100,
        pairs=200,
        bytes_per_number=2,
        kv_bytes_per_number=4,
    )
    assert work.weight_bytes == 7 * (2 * 576 + 80) * 2
    assert work.matmul_flops == 21 * 2 * (2 * 576 + 80)
    assert work.kv_bytes == 100 * 2 * 2 * 4 * 4
    assert work.attention_flops == 4 * 2 * 8 * 200
    assert work.layer_calls == 14


def test_seconds_are_the_scalar_product() -> None:
    rates = Rates(matmul_flops=2.0, kv_bytes=3.0, layer_calls=5.0)
    assert rates.seconds(Work(matmul_flops=7, kv_bytes=11, layer_calls=13, logits=17)) == 112.0
    both = forward() + forward() * 2
    assert rates.seconds(both) == pytest.approx(3 * rates.seconds(forward()))
