"""Phases of a step: what guidance adds, what grows with what, and how devices share."""

from __future__ import annotations

import dataclasses
import math

import pytest

from planning_fakes import QWEN_7B, TINY, cpu, gpu_setting, setting
from rephrase_rl.planning import guidance_cost, scaled
from rephrase_rl.planning.devices import ProgramRates, TrainerOverhead
from rephrase_rl.planning.phases import judged_groups, step_phases, step_seconds, training_batch
from rephrase_rl.planning.work import Rates

EVERY = [setting(), setting(TINY), setting(QWEN_7B), gpu_setting(), gpu_setting(sampler="vllm")]


def seconds(plan, name: str) -> float:
    return next(phase.seconds for phase in step_phases(plan) if phase.name == name)


def test_a_step_by_hand() -> None:
    # One second for a call of a layer and nothing else: 2 layers. The sampler calls once for the
    # prompts and 399 times for tokens; training has 4 micro-batches.
    calls = Rates(layer_calls=1.0)
    device = cpu(
        rates={"float32": ProgramRates(calls, calls, calls, calls)}, optimiser_s_per_parameter=1.0
    )
    plan = dataclasses.replace(setting(TINY, mode="none", verify_s=0.25), device=device)
    times = {p.name: p.seconds for p in step_phases(plan) if p.seconds}
    assert times == {
        "prompts": 2.0,
        "rollouts": 2.0 * 399,
        "verifier": 64 * 0.25,
        "loss, forward": 8.0,
        "loss, backward": 8.0,
        "optimiser": TINY.parameters,
    }


@pytest.mark.parametrize("plan", EVERY, ids=lambda p: f"{p.shape.name}-{p.how.sampler}")
@pytest.mark.parametrize("mode", ["lazy", "anticipated"])
def test_closed_gates_add_nothing(plan, mode) -> None:
    cost = guidance_cost(plan, mode, 0.0)
    assert cost.seconds == pytest.approx(0.0, abs=1e-12)
    assert cost.tokens == 0.0


def test_closed_gates_still_measure_the_experts_texts_every_so_often() -> None:
    watched = setting(expert_every=10)
    assert 0 < guidance_cost(watched, "lazy", 0.0).seconds < 0.02 * step_seconds(watched)


@pytest.mark.parametrize("plan", EVERY, ids=lambda p: f"{p.shape.name}-{p.how.sampler}")
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9, 1.0])
def test_eager_costs_most_and_anticipated_least(plan, share) -> None:
    lazy, eager, ahead = (
        guidance_cost(plan, mode, share) for mode in ("lazy", "eager", "anticipated")
    )
    assert eager.seconds >= lazy.seconds - 1e-9
    assert lazy.seconds >= ahead.seconds - 1e-9
    assert lazy.tokens == pytest.approx(ahead.tokens)
    assert eager.tokens == pytest.approx(lazy.tokens / share)


def test_anticipation_pays_only_where_one_sampler_takes_both() -> None:
    on_cpu, on_gpu = (
        [guidance_cost(plan, mode, 0.3).sampling_s for mode in ("lazy", "anticipated")]
        for plan in (setting(), gpu_setting())
    )
    assert on_cpu[1] < 0.8 * on_cpu[0]
    assert on_gpu[1] == pytest.approx(on_gpu[0])


def test_a_step_without_any_open_gate_makes_no_second_call() -> None:
    # 8 problems, a tenth open: 1 - 0.9^8 = 0.57 of the steps have one, then 0.8 / 0.57 groups.
    occurs, groups = judged_groups(setting(open_share=0.1))
    assert occurs == pytest.approx(1 - 0.9**8)
    assert occurs * groups == pytest.approx(0.8)
    assert judged_groups(setting(mode="eager", open_share=0.0)) == (1.0, 8)
    assert judged_groups(setting(mode="none", open_share=0.5)) == (0.0, 0.0)


@pytest.mark.parametrize(
    "field",
    [
        "prompt_tokens",
        "completion_tokens",
        "longest_completion_tokens",
        "context_tokens",
        "rewrite_tokens",
        "open_share",
        "trained_share",
        "candidates",
        "verify_s",
    ],
)
@pytest.mark.parametrize("plan", [setting(), gpu_setting()], ids=["cpu", "gpu"])
def test_more_work_takes_longer(plan, field) -> None:
    before = dataclasses.replace(plan.work, verify_s=0.001, trained_share=0.25)
    changes = {field: getattr(before, field) * 2}
    if field == "completion_tokens":  # the spread of lengths stays as it is
        changes["longest_completion_tokens"] = 2 * before.longest_completion_tokens
    after = dataclasses.replace(before, **changes)
    assert step_seconds(plan.with_work(after)) > step_seconds(plan.with_work(before))


def test_rows_without_gradient_cost_nothing_unless_they_are_computed() -> None:
    rows = [training_batch(setting(trained_share=t, mode="none"))[1] for t in (0.0, 0.25, 1.0)]
    assert rows == [1.0, 4.0, 16.0]  # of 16; one row is always kept
    all_rows = setting(trained_share=0.0, mode="none").with_how(skips_untrained=False)
    assert training_batch(all_rows)[1] == 16.0


def test_injection_gives_open_groups_a_gradient() -> None:
    assert setting(open_share=0.3, accepted_share=0.5).work.gradient_share == pytest.approx(0.65)
    assert setting(open_share=0.9).work.gradient_share == 1.0


def test_log_probs_that_are_asked_for_cost_a_pass() -> None:
    plain = setting(mode="none")
    scored = setting(mode="none", old_logps=True, reference_logps=True)
    old, reference = seconds(scored, "old log-probs"), seconds(scored, "reference log-probs")
    assert old == reference > 0
    assert step_seconds(scored) == pytest.approx(step_seconds(plain) + old + reference)


def test_a_batch_that_serves_two_steps_is_sampled_for_half() -> None:
    once, twice = setting(), setting(generations_per_step=0.5)
    for name in ("prompts", "rollouts", "rewrites", "candidate log-probs"):
        assert seconds(twice, name) == pytest.approx(seconds(once, name) / 2)
    assert seconds(twice, "loss, forward") == seconds(once, "loss, forward")


def test_rewrites_end_earlier_when_there_are_few() -> None:
    work = setting().work  # means of 200, rollouts up to 400
    assert work.longest_rewrite_tokens(1) == 200
    assert work.longest_rewrite_tokens(2) == pytest.approx(200 * (1 + math.log(2)))
    assert work.longest_rewrite_tokens(1000) == 400


def test_checkpointing_computes_the_forward_pass_again() -> None:
    plan = gpu_setting(checkpointing=False)
    again = plan.with_how(checkpointing=True)
    difference = seconds(again, "loss, backward") - seconds(plan, "loss, backward")
    assert difference == pytest.approx(seconds(plan, "loss, forward"))


def test_the_trainers_overhead_multiplies_and_adds() -> None:
    plain = setting()
    slower = dataclasses.replace(
        plain, device=cpu(overhead=TrainerOverhead(2.0, 3.0, 4.0, step_s=5.0, row_s=0.5))
    )
    for name, factor in (("rollouts", 2), ("loss, forward", 3), ("loss, backward", 4)):
        assert seconds(slower, name) == pytest.approx(factor * seconds(plain, name))
    assert seconds(slower, "trainer") == 5.0 + 64 * 0.5


@pytest.mark.parametrize("plan", [setting(), gpu_setting()], ids=["cpu", "gpu"])
def test_any_number_of_devices_is_consistent(plan) -> None:
    alone = step_seconds(plan)
    before = math.inf
    for devices in range(1, 1025):
        each = scaled(plan, devices)
        assert each.local_problems * each.busy >= plan.work.problems
        assert each.busy == min(devices, 8)
        assert each.local_problems == math.ceil(8 / devices)
        computing = each.step_s - each.exchange_s
        assert computing <= before + 1e-9
        assert each.efficiency <= 1.0 + 1e-9
        assert each.rows_per_s == pytest.approx(64 / each.step_s)
        # The same longest row among more rows means a smaller spread, and so less padding.
        assert each.configured_step_s >= 0.95 * alone
        before = computing
    assert scaled(plan, 1).step_s == scaled(plan, 1).configured_step_s == alone
    assert scaled(plan, 1).exchange_s == 0.0
    assert scaled(plan, 2).exchange_s > 0.0
    assert scaled(plan, 1024).step_s - scaled(plan, 1024).exchange_s == pytest.approx(
        scaled(plan, 8).step_s - scaled(plan, 8).exchange_s
    )


def test_a_configuration_makes_a_larger_step_on_more_devices() -> None:
    on_eight = gpu_setting().on(8)
    assert scaled(on_eight, 8).configured_step_s == scaled(on_eight, 8).step_s
    # 8 problems on 8 devices are one for each, and so 16 on 16.
    sixteen = on_eight.on(16).with_work(
        dataclasses.replace(on_eight.work, problems=16, rows_per_step=128)
    )
    assert scaled(on_eight, 16).configured_step_s == step_seconds(sixteen)
