"""Figures that TRL makes of a batch, by its names, from the records of its groups.

verl has its own of the kind, of rows after injection and under other names. Source: TRL 1.16.0,
``GRPOTrainer._generate`` and ``_generate_and_score_completions``.
"""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rephrase_rl.records import GroupRecord, MemberRecord


def trl_figures(records: Sequence[GroupRecord]) -> dict[str, float]:
    """Rewards after injection, and lengths of rollouts as they were sampled, before it.

    Args:
        records: Of at least one group.
    """
    return {**_rewards(records), **_lengths([m for r in records for m in _sampled(r)])}


def _sampled(record: GroupRecord) -> list[MemberRecord]:
    """The group's own rollouts, the replaced one included."""
    own = [member for member in record.members if member.origin == "rollout"]
    return own if record.replaced is None else [*own, record.replaced]


def _rewards(records: Sequence[GroupRecord]) -> dict[str, float]:
    groups = [[m.reward for m in r.members if not math.isnan(m.reward)] for r in records]
    rewards = [reward for group in groups for reward in group]
    if not rewards:
        return {}
    flat = [len(group) < 2 or math.isclose(stdev(group), 0.0, abs_tol=1e-8) for group in groups]
    return {
        "reward": fmean(rewards),
        "reward_std": stdev(rewards) if len(rewards) > 1 else 0.0,
        "frac_reward_zero_std": fmean(flat),
    }


def _lengths(rollouts: Sequence[MemberRecord]) -> dict[str, float]:
    if not rollouts:
        return {}
    lengths = [rollout.num_tokens for rollout in rollouts]
    ended = [rollout.num_tokens for rollout in rollouts if rollout.finished] or [0]
    return {
        "completions/mean_length": fmean(lengths),
        "completions/min_length": float(min(lengths)),
        "completions/max_length": float(max(lengths)),
        "completions/clipped_ratio": fmean(not rollout.finished for rollout in rollouts),
        "completions/mean_terminated_length": fmean(ended),
        "completions/min_terminated_length": float(min(ended)),
        "completions/max_terminated_length": float(max(ended)),
    }
