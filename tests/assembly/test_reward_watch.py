"""A reward that never differs is spoken of loudly, once during a run and once at its end."""

from __future__ import annotations

import dataclasses
import math
import warnings

import pytest

from rephrase_rl.assembly.reward_watch import RewardWatch
from rephrase_rl.records import GroupRecord, MemberRecord


def member(reward: float) -> MemberRecord:
    return MemberRecord("x", "rollout", reward, reward, 0.0, 1, True)


def group(step: int, *rewards: float) -> GroupRecord:
    return GroupRecord(
        step=step,
        rank=0,
        problem_id="p",
        question="q",
        reference_answer="a",
        expert_solution=None,
        failure_fraction=1.0,
        gate_open=False,
        gate_reason="closed",
        members=tuple(map(member, rewards)),
        candidates=(),
        slot=None,
        replaced=None,
        rescued=False,
    )


def test_constant_rewards_are_told_after_so_many_steps_and_at_the_end() -> None:
    watch = RewardWatch(2)
    watch.see([group(0, 0.0, math.nan), group(0, 0.0, 0.0)])
    with pytest.warns(UserWarning, match=r"CONSTANT REWARD: all 5 completions of 2 steps got 0\."):
        watch.see([group(1, 0.0, 0.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.see([group(2, 0.0)])  # said once
    with pytest.warns(UserWarning, match="all 6 completions of 3 steps"):
        assert watch.at_end() == 0.0


def test_one_other_reward_is_enough_and_an_injected_one_counts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch = RewardWatch(1)
        watch.see([group(0, 0.0, 0.5)])
        assert watch.at_end() is None
        rescued = dataclasses.replace(group(0, 1.0, 1.0), replaced=member(0.0))
        watch = RewardWatch(1)
        watch.see([rescued])
        assert watch.at_end() is None
        watch = RewardWatch(None)
        watch.see([group(0, 0.0)])
        assert watch.at_end() is None


def test_a_run_in_which_nothing_could_be_judged_is_told_too() -> None:
    with pytest.warns(UserWarning, match="NO REWARD: no completion of 1 steps"):
        RewardWatch(1).see([group(0, math.nan)])
