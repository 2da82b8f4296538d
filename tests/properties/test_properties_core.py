"""What holds of core for every input, looked for by hypothesis."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rephrase_rl.core.advantages import group_advantages, has_spread, multi_reward_advantages
from rephrase_rl.core.diagnostics import clip_fractions, context_ratio_quantiles, mean_logp, rescued
from rephrase_rl.core.gates import failed_share_gate, failure_fraction
from rephrase_rl.core.kl import k1, k2, k3
from rephrase_rl.core.objectives import clipped_surrogate
from rephrase_rl.core.ratios import context_ratio, importance_ratio
from rephrase_rl.core.reduction import reduce_loss
from rephrase_rl.core.slots import replace_at_slot, worst_slot

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=40)
NAN = float("nan")

finite = st.floats(-100, 100, width=32)
maybe_unscorable = st.one_of(finite, st.just(NAN))
unit = st.floats(0, 1, width=32)
group = st.lists(maybe_unscorable, min_size=2, max_size=9)
scored_group = st.lists(finite, min_size=2, max_size=9)
share = st.integers(1, 16).map(lambda n: n / 16)
scales = st.sampled_from(["group", "batch", "none"])
fixed_lengths = {"token_mean": None, "sequence_mean": None, "fixed_length": 12}
reductions = st.sampled_from(sorted(fixed_lengths))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def groups(elements=maybe_unscorable):
    return st.tuples(st.integers(1, 5), st.integers(2, 6)).flatmap(
        lambda size: st.lists(
            st.lists(elements, min_size=size[1], max_size=size[1]),
            min_size=size[0],
            max_size=size[0],
        )
    )


@st.composite
def token_batches(draw):
    """Log-probs under two models, a mask of any pattern, and advantages of both signs."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 6))

    def table(elements):
        row = st.lists(elements, min_size=columns, max_size=columns)
        return draw(st.lists(row, min_size=rows, max_size=rows))

    logps_BT, other_BT = (tensor(table(st.floats(-3, 0))) for _ in range(2))
    mask_BT = torch.tensor(table(st.booleans()))
    advantages = st.sampled_from([-2.0, -0.5, 0.0, 0.5, 2.5])
    advantages_B = tensor(draw(st.lists(advantages, min_size=rows, max_size=rows)))
    return logps_BT, other_BT, mask_BT, advantages_B


# --- advantages ---------------------------------------------------------------------------------


@REPEATABLE
@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 33), scales, st.sampled_from([0, 1]))
def test_equal_rewards_give_exactly_zero(reward, num_members, scale, ddof):
    rewards_PG = torch.full((1, num_members), reward, dtype=torch.float32)
    found_PG = group_advantages(rewards_PG, scale=scale, std_ddof=ddof, eps=1e-12)
    assert found_PG.tolist() == [[0.0] * num_members]


@REPEATABLE
@given(
    st.lists(maybe_unscorable, min_size=1, max_size=4),
    st.integers(2, 9),
    st.sampled_from(["sum_then_normalize", "normalize_then_sum"]),
)
def test_equal_rewards_of_several_functions_give_exactly_zero_beside_a_live_group(
    member, num_members, aggregation
):
    dead = [member] * num_members
    live = [[float(g)] * len(member) for g in range(num_members)]
    rewards_PGK = torch.tensor([dead, live])
    weights_K = torch.linspace(0.3, 1.7, len(member))
    found_PG = multi_reward_advantages(rewards_PGK, weights_K, aggregation=aggregation, eps=1e-12)
    assert found_PG[0].tolist() == [0.0] * num_members
    assert found_PG[1].abs().max() > 0


@REPEATABLE
@given(groups(), scales)
def test_advantages_are_finite_and_sum_to_zero(rewards, scale):
    found_PG = group_advantages(tensor(rewards), scale=scale)
    assert found_PG.isfinite().all()
    bound = 1e-9 * (1 + found_PG.abs().max().item())
    assert found_PG.sum(dim=1).abs().max().item() <= bound


@REPEATABLE
@given(st.lists(st.integers(-8, 8), min_size=2, max_size=9), st.integers(-100, 100))
def test_advantages_do_not_see_a_shift(rewards, shift):
    rewards_PG = tensor([rewards]) / 4
    torch.testing.assert_close(
        group_advantages(rewards_PG + shift), group_advantages(rewards_PG), rtol=1e-9, atol=1e-9
    )


@REPEATABLE
@given(group, st.randoms(use_true_random=False), scales)
def test_advantages_follow_a_permutation(rewards, random, scale):
    order = list(range(len(rewards)))
    random.shuffle(order)
    found_PG = group_advantages(tensor([rewards]), scale=scale)
    shuffled_PG = group_advantages(tensor([rewards])[:, order], scale=scale)
    torch.testing.assert_close(shuffled_PG, found_PG[:, order], rtol=1e-9, atol=1e-9)


@REPEATABLE
@given(scored_group, st.integers(0, 9), scales)
def test_an_unscorable_member_gets_zero_and_the_others_as_if_it_were_absent(
    rewards, position, scale
):
    position = min(position, len(rewards))
    longer = [*rewards[:position], NAN, *rewards[position:]]
    found = group_advantages(tensor([longer]), scale=scale)[0].tolist()
    assert found.pop(position) == 0.0
    expected = group_advantages(tensor([rewards]), scale=scale)[0].tolist()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@REPEATABLE
@given(scored_group)
def test_better_rewards_never_get_smaller_advantages(rewards):
    advantages = group_advantages(tensor([rewards]))[0].tolist()
    pairs = sorted(zip(rewards, advantages, strict=True))
    assert all(low[1] <= high[1] for low, high in pairwise(pairs))


# --- gate ---------------------------------------------------------------------------------------


@REPEATABLE
@given(groups(st.one_of(st.floats(0.5, 1), st.just(NAN))), share)
def test_gate_never_opens_when_nothing_failed(rewards, rho):
    assert not failed_share_gate(tensor(rewards), gate_failure_fraction=rho).any()


@REPEATABLE
@given(groups(st.one_of(unit, st.just(NAN))), share, share, unit, unit)
def test_gate_is_monotone_in_both_thresholds(rewards, rho_a, rho_b, delta_a, delta_b):
    rewards_PG = tensor(rewards)
    (low_rho, high_rho), (low_delta, high_delta) = (
        sorted((rho_a, rho_b)),
        sorted((delta_a, delta_b)),
    )

    def is_open(delta, rho):
        return failed_share_gate(
            rewards_PG, failure_reward_threshold=delta, gate_failure_fraction=rho
        )

    assert (is_open(low_delta, high_rho) <= is_open(low_delta, low_rho)).all()
    assert (is_open(low_delta, high_rho) <= is_open(high_delta, high_rho)).all()


@REPEATABLE
@given(scored_group, share, st.integers(0, 8))
def test_one_more_failure_never_closes_the_gate(rewards, rho, position):
    worse = list(rewards)
    worse[position % len(rewards)] = -1.0
    before = failed_share_gate(tensor([rewards]), gate_failure_fraction=rho)
    assert (before <= failed_share_gate(tensor([worse]), gate_failure_fraction=rho)).all()


@REPEATABLE
@given(group, share, st.randoms(use_true_random=False))
def test_gate_depends_on_the_multiset_only(rewards, rho, random):
    shuffled = random.sample(rewards, len(rewards))
    for function in (
        lambda x: failure_fraction(x).nan_to_num(nan=-1.0),
        lambda x: failed_share_gate(x, gate_failure_fraction=rho),
    ):
        assert torch.equal(function(tensor([rewards])), function(tensor([shuffled])))


@REPEATABLE
@given(groups(), share, st.integers(1, 5))
def test_groups_do_not_influence_each_other(rewards, rho, split):
    rewards_PG = tensor(rewards)
    whole_P = failed_share_gate(rewards_PG, gate_failure_fraction=rho)
    parts = [failed_share_gate(x, gate_failure_fraction=rho) for x in rewards_PG.split(split)]
    assert torch.equal(torch.cat(parts), whole_P)


# --- slot ---------------------------------------------------------------------------------------


@REPEATABLE
@given(groups(), st.data())
def test_replacement_changes_at_most_one_place_of_a_group(rewards, data):
    rewards_PG = tensor(rewards)
    num_problems, num_members = rewards_PG.shape
    slot_P = torch.tensor(
        data.draw(
            st.lists(st.integers(-1, num_members - 1), min_size=num_problems, max_size=num_problems)
        )
    )
    replacement_P = torch.full((num_problems,), 777.0, dtype=torch.float64)
    after_PG = replace_at_slot(rewards_PG, slot_P, replacement_P)
    same_PG = (after_PG == rewards_PG) | (after_PG.isnan() & rewards_PG.isnan())
    assert ((~same_PG).sum(dim=1) == (slot_P >= 0)).all()
    for p in range(num_problems):
        if slot_P[p] >= 0:
            assert after_PG[p, slot_P[p]] == 777.0
    assert torch.equal(
        replace_at_slot(after_PG, slot_P, replacement_P).nan_to_num(nan=-1),
        after_PG.nan_to_num(nan=-1),
    )


@REPEATABLE
@given(groups())
def test_worst_slot_points_at_the_first_of_the_lowest_scored(rewards):
    for row, slot in zip(rewards, worst_slot(tensor(rewards)).tolist(), strict=True):
        scored = [r for r in row if not math.isnan(r)]
        if not scored:
            assert slot == -1
            continue
        assert row[slot] == min(scored)
        assert min(scored) not in row[:slot]


@REPEATABLE
@given(groups(), st.floats(0.01, 10))
def test_a_better_candidate_in_the_worst_slot_never_lowers_the_mean(rewards, gain):
    rewards_PG = tensor(rewards)
    slot_P = worst_slot(rewards_PG)
    assume(bool((slot_P >= 0).all()))
    better_P = rewards_PG.gather(1, slot_P.unsqueeze(1)).squeeze(1) + gain
    after_PG = replace_at_slot(rewards_PG, slot_P, better_P)
    assert (after_PG.nanmean(dim=1) > rewards_PG.nanmean(dim=1)).all()


@REPEATABLE
@given(unit.filter(lambda r: r < 0.5), st.integers(2, 9))
def test_an_all_failed_group_with_an_accepted_rewrite_is_rescued(reward, num_members):
    """The reason for the method: no gradient before, some after, upwards for the rewrite only."""
    before_PG = torch.full((1, num_members), reward, dtype=torch.float64)
    after_PG = replace_at_slot(before_PG, worst_slot(before_PG), tensor([1.0]))
    assert group_advantages(before_PG).tolist() == [[0.0] * num_members]
    advantages = group_advantages(after_PG)[0].tolist()
    assert rescued(before_PG, after_PG).tolist() == [True]
    assert advantages[0] > 0
    assert all(a < 0 for a in advantages[1:])
    assert has_spread(after_PG).all()


# --- loss ---------------------------------------------------------------------------------------


def whole_loss(logps_BT, other_BT, mask_BT, advantages_B, level, reduction):
    """Everything that trains, in one number: ratio, surrogate with dual clip, weight, KL."""
    ratio_BT = importance_ratio(logps_BT, other_BT, mask_BT, level=level)
    loss_BT = clipped_surrogate(ratio_BT, advantages_B, mask_BT, dual_clip=3.0)
    loss_BT = loss_BT * context_ratio(logps_BT, other_BT, mask_BT, level=level, cap=2.0)
    for estimator in (k1, k2, k3):
        loss_BT = loss_BT + 0.1 * estimator(logps_BT, other_BT, mask_BT)
    return reduce_loss(loss_BT, mask_BT, reduction=reduction, fixed_length=fixed_lengths[reduction])


@REPEATABLE
@given(
    token_batches(),
    st.sampled_from(["token", "sequence"]),
    reductions,
    st.sampled_from([NAN, math.inf, -math.inf, 1e300]),
)
def test_masked_positions_reach_neither_loss_nor_gradient(batch, level, reduction, poison):
    logps_BT, other_BT, mask_BT, advantages_B = batch
    clean_BT = logps_BT.clone().requires_grad_()
    clean = whole_loss(clean_BT, other_BT, mask_BT, advantages_B, level, reduction)
    (clean_gradient_BT,) = torch.autograd.grad(clean, clean_BT)
    dirty_BT = logps_BT.masked_fill(~mask_BT, poison).requires_grad_()
    dirty_other_BT = other_BT.masked_fill(~mask_BT, poison)
    dirty = whole_loss(dirty_BT, dirty_other_BT, mask_BT, advantages_B, level, reduction)
    (gradient_BT,) = torch.autograd.grad(dirty, dirty_BT)
    assert torch.equal(dirty, clean)
    assert torch.equal(gradient_BT, clean_gradient_BT)
    assert (gradient_BT[~mask_BT] == 0).all()


@REPEATABLE
@given(token_batches(), st.sampled_from([NAN, math.inf]), reductions)
def test_poison_given_to_a_late_stage_is_masked_there_too(batch, poison, reduction):
    """Each function stands alone: none relies on another one having cleaned its input."""
    logps_BT, _, mask_BT, advantages_B = batch
    ratio_BT = logps_BT.exp()
    for function in (
        lambda x: clipped_surrogate(x, advantages_B, mask_BT),
        lambda x: reduce_loss(
            x, mask_BT, reduction=reduction, fixed_length=fixed_lengths[reduction]
        ),
    ):
        dirty_BT = ratio_BT.masked_fill(~mask_BT, poison).requires_grad_()
        result = function(dirty_BT)
        assert torch.equal(result, function(ratio_BT))
        (gradient_BT,) = torch.autograd.grad(result.sum(), dirty_BT)
        assert gradient_BT.isfinite().all()
        assert (gradient_BT[~mask_BT] == 0).all()


@REPEATABLE
@given(token_batches(), st.sampled_from([NAN, math.inf]))
def test_diagnostics_do_not_see_masked_positions(batch, poison):
    logps_BT, _, mask_BT, advantages_B = batch
    dirty_BT = logps_BT.masked_fill(~mask_BT, poison)

    def figures(x_BT):
        return torch.cat(
            [
                mean_logp(x_BT, mask_BT),
                context_ratio_quantiles(x_BT, mask_BT),
                torch.stack(clip_fractions(x_BT, advantages_B, mask_BT)),
            ]
        ).nan_to_num(nan=-77.0)  # NaN where there is nothing to measure, in both alike

    assert torch.equal(figures(dirty_BT), figures(logps_BT))


@REPEATABLE
@given(token_batches(), reductions, st.integers(1, 4))
def test_any_split_into_micro_batches_sums_to_the_whole(batch, reduction, size):
    logps_BT, _, mask_BT, _ = batch
    logps_BT = logps_BT.requires_grad_()
    form = {"reduction": reduction, "fixed_length": fixed_lengths[reduction]}
    whole = reduce_loss(logps_BT, mask_BT, **form)
    (whole_gradient_BT,) = torch.autograd.grad(whole, logps_BT)
    totals = {"total_tokens": mask_BT.sum(), "total_rows": len(mask_BT)}
    parts = sum(
        reduce_loss(loss_BT, part_BT, **form, **totals)
        for loss_BT, part_BT in zip(logps_BT.split(size), mask_BT.split(size), strict=True)
    )
    (gradient_BT,) = torch.autograd.grad(parts, logps_BT)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient_BT, whole_gradient_BT, rtol=1e-12, atol=1e-15)


@REPEATABLE
@given(token_batches(), reductions)
def test_the_mean_over_ranks_is_the_whole_if_totals_are_divided_by_their_number(batch, reduction):
    loss_BT, _, mask_BT, _ = batch
    form = {"reduction": reduction, "fixed_length": fixed_lengths[reduction]}
    twice = torch.cat([mask_BT, mask_BT.flip(0)])
    assume(bool(twice.any()))
    whole = reduce_loss(torch.cat([loss_BT, 2 * loss_BT]), twice, **form)
    totals = {"total_tokens": twice.sum() / 2, "total_rows": len(twice) / 2}
    ranks = [
        reduce_loss(loss_BT, mask_BT, **form, **totals),
        reduce_loss(2 * loss_BT, mask_BT.flip(0), **form, **totals),
    ]
    torch.testing.assert_close(sum(ranks) / 2, whole, rtol=1e-12, atol=1e-12)


@REPEATABLE
@given(token_batches(), st.sampled_from(["token", "sequence"]), reductions, st.integers(1, 5))
def test_padding_changes_nothing(batch, level, reduction, width):
    logps_BT, other_BT, mask_BT, advantages_B = batch
    padding_BT = torch.full((len(mask_BT), width), NAN, dtype=torch.float64)
    padded = [torch.cat([x, padding_BT], dim=1) for x in (logps_BT, other_BT)]
    padded_mask_BT = torch.cat([mask_BT, padding_BT.isfinite()], dim=1)
    torch.testing.assert_close(
        whole_loss(*padded, padded_mask_BT, advantages_B, level, reduction),
        whole_loss(logps_BT, other_BT, mask_BT, advantages_B, level, reduction),
        rtol=1e-12,
        atol=1e-12,
    )


@REPEATABLE
@given(token_batches(), st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_gradient_has_minus_the_sign_of_the_advantage_and_is_zero_where_clipped(batch, low, high):
    logps_BT, other_BT, mask_BT, advantages_B = batch
    logps_BT = logps_BT.requires_grad_()
    ratio_BT = importance_ratio(logps_BT, other_BT, mask_BT)
    loss_BT = clipped_surrogate(ratio_BT, advantages_B, mask_BT, clip_low=low, clip_high=high)
    (gradient_BT,) = torch.autograd.grad(loss_BT.sum(), logps_BT)
    advantages_BT = advantages_B.unsqueeze(1).expand_as(gradient_BT)
    clipped_BT = ((advantages_BT > 0) & (ratio_BT > 1 + high)) | (
        (advantages_BT < 0) & (ratio_BT < 1 - low)
    )
    assert (gradient_BT[clipped_BT] == 0).all()
    free_BT = mask_BT & ~clipped_BT & (ratio_BT != 1 + high) & (ratio_BT != 1 - low)
    torch.testing.assert_close(
        gradient_BT[free_BT], (-advantages_BT * ratio_BT)[free_BT].detach(), rtol=1e-12, atol=0
    )


@REPEATABLE
@given(token_batches(), st.sampled_from(["token", "sequence"]), st.floats(0.1, 5))
def test_context_ratio_is_positive_capped_and_one_for_equal_contexts(batch, level, cap):
    on_q_BT, on_context_BT, mask_BT, _ = batch
    found_BT = context_ratio(on_q_BT, on_context_BT, mask_BT, level=level, cap=cap)
    assert (found_BT[mask_BT] <= cap * (1 + 1e-12)).all()
    assert (found_BT > 0).all()
    assert (found_BT[~mask_BT] == 1).all()
    same_BT = context_ratio(on_q_BT, on_q_BT, mask_BT, level=level)
    assert torch.equal(same_BT, torch.ones_like(same_BT))


@REPEATABLE
@given(token_batches())
def test_k2_and_k3_are_never_negative_and_all_are_zero_for_equal_policies(batch):
    logps_BT, other_BT, mask_BT, _ = batch
    for estimator in (k2, k3):
        assert (estimator(logps_BT, other_BT, mask_BT) >= 0).all()
    for estimator in (k1, k2, k3):
        assert (estimator(logps_BT, logps_BT, mask_BT) == 0).all()
