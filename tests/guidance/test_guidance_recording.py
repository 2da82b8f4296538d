"""Records of groups, and the figures of a step computed from them by hand."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from fakes import completion, problem
from guidance_fakes import NAN, ScriptedGuidanceEngine, group, repo
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.guidance.gates import FailedShareGate
from rephrase_rl.guidance.recording import candidate_record, group_record, step_metrics
from rephrase_rl.guidance.slots import WholeGroup
from rephrase_rl.guidance.step import guide
from rephrase_rl.records import Candidate, GroupRecord, from_json, to_json

CONTEXT = StepContext(step=3, rank=1)


def records() -> list[GroupRecord]:
    """Rescued, refused (cut off), passed, without expert, without verdict."""
    groups = [
        group(0.0, 0.0),
        group(0.0, 0.0),
        group(1.0, 1.0),
        group(0.0, 0.0, of=problem(expert_solution=None)),
        group(NAN, NAN),
    ]
    engine = ScriptedGuidanceEngine(["good", completion("cut", finished=False)])
    engine.logp_on_q = {"good": -2.0, "cut": -9.0}
    guided = guide(groups, repo(), engine, CONTEXT)
    advantages = [(0.7, -0.7), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]
    return [group_record(g, a, CONTEXT) for g, a in zip(guided, advantages, strict=True)]


def test_metrics_by_hand() -> None:
    metrics = step_metrics(records(), 0.5)
    assert metrics["groups/all_failed_fraction"] == pytest.approx(3 / 5)
    assert metrics["groups/all_passed_fraction"] == pytest.approx(1 / 5)
    assert metrics["groups/unscored_fraction"] == pytest.approx(1 / 5)
    assert metrics["groups/no_signal_fraction"] == pytest.approx(4 / 5)
    assert metrics["gate/open_fraction"] == pytest.approx(2 / 5)
    assert metrics["gate/no_expert_fraction"] == pytest.approx(1 / 5)
    assert metrics["injection/candidates"] == 2
    assert metrics["injection/accept_fraction"] == pytest.approx(1 / 2)
    assert metrics["injection/correct_fraction"] == 1.0
    assert metrics["injection/rescued_fraction"] == pytest.approx(1 / 5)
    # Only the accepted rewrite counts; the refused one had -9.
    assert metrics["injection/logp_on_q"] == -2.0
    assert metrics["injection/text_logp"] == -2.0 * 5  # "good" and the end token
    assert metrics["injection/logp_on_context"] == -0.5
    # Every token of "good" has the ratio exp(-2 - -0.5).
    ratio = pytest.approx(math.exp(-1.5))
    assert [metrics[f"injection/context_ratio_{q}"] for q in ("p10", "p50", "p90")] == [ratio] * 3
    refused = {name: value for name, value in metrics.items() if name.startswith("refused/")}
    assert {name for name, value in refused.items() if value} == {"refused/unfinished"}
    assert metrics["refused/unfinished"] == 1
    # Ten rollouts of "r0"/"r1" with end token, the replaced one included; "good" + end and "cut".
    assert metrics["tokens/rollout"] == 30
    assert metrics["tokens/rephrase"] == 5 + 3


def test_mean_over_nothing_is_nan() -> None:
    metrics = step_metrics(records()[2:3], 0.5)
    assert math.isnan(metrics["injection/accept_fraction"])
    assert math.isnan(metrics["injection/logp_on_q"])


def test_record_says_what_was_replaced_and_why_not() -> None:
    rescued, refused, *_ = records()
    assert rescued.replaced is not None
    assert rescued.replaced.text == "r0"
    assert rescued.members[0].text == "good"
    assert rescued.members[0].advantage == 0.7
    assert (rescued.step, rescued.rank) == (3, 1)
    assert refused.candidates[0].refusals == ("finished",)
    assert refused.slot is None


def test_records_survive_json() -> None:
    for record in records():
        back = from_json(GroupRecord, to_json(record))
        assert to_json(back) == to_json(record)


@pytest.mark.parametrize(
    ("refusals", "correctness", "counted"),
    [
        (("reward_above_replaced",), 0.0, {"wrong"}),
        (("reward_above_replaced",), 1.0, {"not_better"}),
        (("correct", "reward_above_replaced"), 0.0, {"wrong"}),
        (("no_meta_text", "not_copied"), 1.0, {"meta_text", "copied"}),
        (("within_length",), 1.0, {"over_length"}),
        (("steps_valid",), 1.0, {"invalid_steps"}),
        (("a_rule_of_mine",), 1.0, {"other"}),
        (("empty",), NAN, {"empty"}),
        (("unscorable",), NAN, {"unscorable"}),
        (("not_chosen",), 1.0, {"not_chosen"}),
        (("over_length",), NAN, {"over_length"}),
        (("no_slot",), 1.0, {"no_slot"}),
        (("reward_above_replaced",), 0.5, {"not_better"}),  # the threshold is no failure
    ],
)
def test_refusals_are_counted_by_what_they_mean(refusals, correctness, counted) -> None:
    record = records()[0]
    candidate = dataclasses.replace(
        record.candidates[0], accepted=False, refusals=refusals, correctness=correctness
    )
    metrics = step_metrics([dataclasses.replace(record, candidates=(candidate,))], 0.5)
    found = {name for name, value in metrics.items() if name.startswith("refused/") and value == 1}
    assert found == {f"refused/{name}" for name in counted}


def test_unused_groups_cost_tokens_and_say_nothing_of_signal() -> None:
    unused = dataclasses.replace(records()[2], used=False)
    metrics = step_metrics([records()[0], unused], 0.5)
    assert metrics["groups/resampled"] == 1
    assert metrics["groups/no_signal_fraction"] == 0.0
    assert metrics["tokens/rollout"] == 12


def test_each_group_that_was_resampled_counts() -> None:
    used, *rest = records()
    metrics = step_metrics([used, *(dataclasses.replace(r, used=False) for r in rest)], 0.5)
    assert metrics["groups/resampled"] == 4


def test_a_group_of_which_some_have_an_advantage_has_signal() -> None:
    group_of_two = records()[0]
    members = [dataclasses.replace(group_of_two.members[0], advantage=a) for a in (0.0, 0.7)]
    mixed = dataclasses.replace(group_of_two, members=tuple(members))
    assert step_metrics([mixed], 0.5)["groups/no_signal_fraction"] == 0.0


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("open", set()),
        ("closed", set()),
        ("unscored", set()),
        ("over_length", {"gate/over_length_fraction"}),
        ("no_expert", {"gate/no_expert_fraction"}),
        ("empty_buffer", {"gate/no_draft_fraction"}),
    ],
)
def test_reasons_for_no_candidate_have_their_fractions(reason, counted) -> None:
    record = records()[2]
    of_three = [dataclasses.replace(record, gate_reason=reason), record, record]
    gates = {k: v for k, v in step_metrics(of_three, 0.5).items() if k.startswith("gate/")}
    assert {name for name, value in gates.items() if value} == counted
    assert all(value == pytest.approx(1 / 3) for value in gates.values() if value)


def test_candidates_of_closed_gates_are_counted_by_their_tokens_alone() -> None:
    engine = ScriptedGuidanceEngine(["good", "late"])
    guided = guide([group(0.0, 0.0), group(1.0, 1.0)], repo(sampling="eager"), engine, CONTEXT)
    metrics = step_metrics([group_record(g, (0.0, 0.0), CONTEXT) for g in guided], 0.5)
    assert (metrics["injection/candidates"], metrics["injection/accepted"]) == (1, 1)
    assert metrics["tokens/rephrase"] == 10


def test_correct_candidates_are_those_of_the_judged_that_reach_the_threshold() -> None:
    record = records()[0]
    candidates = tuple(
        dataclasses.replace(record.candidates[0], correctness=c) for c in (0.5, 0.4, NAN, 0.0)
    )
    metrics = step_metrics([dataclasses.replace(record, candidates=candidates)], 0.5)
    assert metrics["injection/correct_fraction"] == pytest.approx(1 / 3)


def test_names_of_refusals_are_in_the_order_of_the_alphabet() -> None:
    names = [name for name in step_metrics(records(), 0.5) if name.startswith("refused/")]
    assert names == sorted(names), "the order of a set changes from run to run"


def test_a_record_has_the_place_and_what_was_placed() -> None:
    whole, kept = guide(
        [group(1.0, 0.0), group(1.0, 1.0)],
        repo(gate=FailedShareGate(0.5), slot=WholeGroup()),
        ScriptedGuidanceEngine(["good"]),
        CONTEXT,
    )
    record = group_record(whole, (0.0, 0.0), CONTEXT)
    assert (record.slot, record.placement) == (1, "whole_group")
    assert group_record(kept, (0.0, 0.0), CONTEXT).placement == "member"


MEASURED = Candidate(
    completion("ten tokens"),
    "rephrase",
    1.0,
    1.0,
    "ten tokens",
    11,
    context_ids=(7, 8),
    logps_on_q=tuple(-0.1 * i for i in range(11)),
    logps_on_context=(-0.3,) * 11,
)


def test_quantiles_of_the_context_ratio_are_those_at_10_50_and_90_percent() -> None:
    # Eleven ratios exp(0.3 - i / 10), falling: the second smallest, the middle, the second largest.
    record = candidate_record(MEASURED)
    expected = [math.exp(0.3 - i / 10) for i in (9, 5, 1)]
    assert record.context_ratio_quantiles == pytest.approx(expected, rel=1e-12)


def test_a_text_from_no_prompt_of_its_own_has_no_distance_from_one() -> None:
    record = candidate_record(dataclasses.replace(MEASURED, context_ids=None))
    assert record.logp_on_q == pytest.approx(-0.5)
    assert (record.logp_on_context, record.context_ratio_quantiles) == (None, None)
    group_of_two = dataclasses.replace(records()[0], candidates=(record,))
    assert math.isnan(step_metrics([group_of_two], 0.5)["injection/context_ratio_p50"])


@pytest.mark.parametrize("missing", ["logps_on_q", "logps_on_context"])
def test_what_was_not_measured_is_none(missing) -> None:
    record = candidate_record(dataclasses.replace(MEASURED, **{missing: None}))
    assert record.context_ratio_quantiles is None
    assert getattr(record, missing.replace("logps", "logp")) is None
    unmeasured = dataclasses.replace(records()[0], candidates=(record,))
    assert math.isnan(step_metrics([unmeasured], 0.5)[f"injection/{missing.replace('s_', '_')}"])
    if missing == "logps_on_q":
        assert math.isnan(step_metrics([unmeasured], 0.5)["injection/text_logp"])


def test_a_record_says_how_much_of_a_candidate_was_given() -> None:
    assert (
        candidate_record(dataclasses.replace(MEASURED, num_prefix_tokens=3)).num_prefix_tokens == 3
    )


def test_every_metric_has_a_line_in_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    text = page.read_text()
    missing = [name for name in step_metrics(records(), 0.5) if f"`{name}`" not in text]
    assert not missing
