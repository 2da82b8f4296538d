"""Collectives by the ring formula, by hand."""

from __future__ import annotations

import dataclasses

import pytest

from planning_fakes import gpu_setting
from rephrase_rl.planning.communication import all_gather_s, all_reduce_s, exchanged_s
from rephrase_rl.planning.devices import Links

LINKS = Links(within_node=100.0, between_nodes=10.0, devices_per_node=8, latency_s=0.5)


def test_ring_by_hand() -> None:
    assert all_gather_s(800.0, 1, LINKS) == 0.0
    # 3/4 of 800 bytes over 100 bytes a second, and three hops.
    assert all_gather_s(800.0, 4, LINKS) == 6.0 + 1.5
    assert all_reduce_s(800.0, 4, LINKS) == 2 * 7.5
    # Over nodes the slower link decides: 15/16 of 800 over 10, 15 hops.
    assert all_gather_s(800.0, 16, LINKS) == 75.0 + 7.5


def test_ddp_sums_gradients_once_and_fsdp_fetches_for_every_token() -> None:
    ddp = gpu_setting().on(8)
    links = dataclasses.replace(ddp.device.links, latency_s=0.0)
    ddp = dataclasses.replace(ddp, device=dataclasses.replace(ddp.device, links=links))
    size = ddp.shape.parameters
    assert exchanged_s(ddp, 300) == pytest.approx(2 * 7 / 8 * 4 * size / (450e9 * 0.7))
    fsdp = ddp.with_how(sharding="fsdp")
    # 1 micro-batch of 8 rows: two fetches of bfloat16 and one scatter of float32; 300 fetches.
    moved = 7 / 8 * size / (450e9 * 0.7)
    assert ddp.micro_batches == 1
    assert exchanged_s(fsdp, 300) == pytest.approx(moved * (302 * 2 + 4))
    assert exchanged_s(fsdp.with_how(sampler="vllm"), 300) == pytest.approx(moved * (3 * 2 + 4))
    assert exchanged_s(fsdp.on(1), 300) == 0.0
