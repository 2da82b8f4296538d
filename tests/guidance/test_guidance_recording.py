"""Records of groups, and the figures of a step computed from them by hand."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from fakes import completion, problem
from guidance_fakes import NAN, ScriptedGuidanceEngine, group, repo
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.guidance.recording import group_record, step_metrics
from rephrase_rl.guidance.step import guide
from rephrase_rl.records import GroupRecord, from_json, to_json

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


def test_every_metric_has_a_line_in_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    text = page.read_text()
    missing = [name for name in step_metrics(records(), 0.5) if f"`{name}`" not in text]
    assert not missing
