"""Which number format arithmetic has on a CPU: bfloat16 where it is faster here for this model.

bfloat16 halves the time of large matrix products where the CPU has instructions for it, is emulated
many times slower where it has not, and costs a narrow model more in conversions than it gains. So
it is measured. Weights stay in float32 in either case.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from rephrase_rl.seeding import forked_rng

WORTH = 1.25
"""bfloat16 is taken where float32 takes at least this many times as long; its rounding is coarser,
so it has to give something for it. Far from the ratios that were measured (0.5 and 2)."""
SHAPE = (2, 64)
"""Rows and tokens of the passes that are timed."""


def bf16_pays(model: Any) -> bool:
    """Whether a forward and backward pass is clearly faster in bfloat16 autocast on this CPU.

    Takes about the time of four passes over 128 tokens. Gradients, random states and the model's
    mode are left as they were.

    Args:
        model: On the CPU, weights in float32.
    """
    if not _has_instructions():
        return False
    parameters = list(model.parameters())
    before = [parameter.grad for parameter in parameters]
    mode = model.training
    try:
        for parameter in parameters:  # a backward pass adds to what is there, in place
            parameter.grad = None
        with forked_rng(0):
            model.eval()
            plain, fast = (_seconds_of_a_pass(model, enabled) for enabled in (False, True))
    finally:
        model.train(mode)
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient
    return plain >= WORTH * fast


def _has_instructions() -> bool:
    """bfloat16 dot products in hardware; emulated ones can take minutes where float32 takes one."""
    cpu = torch.cpu
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())


def _seconds_of_a_pass(model: Any, bf16: bool) -> float:
    """The shorter of two, so that what the first pass sets up does not count."""
    ids = torch.randint(model.config.get_text_config().vocab_size, SHAPE)
    times = []
    for _ in range(2):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        times.append(time.perf_counter() - started)
    return min(times)
