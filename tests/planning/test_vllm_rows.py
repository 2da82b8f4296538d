"""How many rows vLLM decodes at once: what its share of the memory holds, by hand."""

from __future__ import annotations

import pytest

from planning_fakes import gpu_setting
from rephrase_rl.planning.sampling import VLLM_ROWS_AT_ONCE, Ask, sampling_work, vllm_rows_at_once

# A 7B model in bfloat16 takes 15.23 GB; a token of its cache 28 layers x 2 x 512 x 2 bytes.
TOKEN = 28 * 2 * 512 * 2
WEIGHTS = 2 * 7_615_616_512


def rows(share: float, tokens: float) -> float:
    asks = [Ask(prompts=64, copies=8, prompt_tokens=1000, tokens=tokens, longest_tokens=tokens)]
    return vllm_rows_at_once(gpu_setting(sampler="vllm", vllm_memory_share=share), asks)


def test_rows_by_hand() -> None:
    assert rows(0.3, 8000) == pytest.approx((0.3 * 80e9 - WEIGHTS) / (TOKEN * (1000 + 4000)))
    assert 1 < rows(0.3, 8000) < VLLM_ROWS_AT_ONCE


def test_never_more_than_its_own_limit_nor_less_than_one() -> None:
    assert rows(0.9, 100) == VLLM_ROWS_AT_ONCE
    assert rows(0.1, 8000) == 1.0  # the weights alone take more


def test_a_full_cache_makes_more_calls() -> None:
    asks = [Ask(prompts=64, copies=8, prompt_tokens=1000, tokens=8000, longest_tokens=8000)]
    small, large = (
        sampling_work(gpu_setting(sampler="vllm", vllm_memory_share=share), asks).decode
        for share in (0.3, 0.8)
    )
    assert small.layer_calls > large.layer_calls
    assert small.matmul_flops == large.matmul_flops
