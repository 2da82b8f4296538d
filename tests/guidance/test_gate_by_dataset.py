"""Gates and figures of each data set."""

from __future__ import annotations

import math

import pytest

from fakes import problem
from guidance_fakes import NAN, ScriptedGuidanceEngine, group, repo
from rephrase_rl.guidance.blocks import StepContext
from rephrase_rl.guidance.dataset_figures import dataset_figures, dataset_metrics
from rephrase_rl.guidance.gate_by_dataset import GateByDataset, never_guided
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate, VisitsGate
from rephrase_rl.guidance.ledger import Ledger, summarise_datasets
from rephrase_rl.guidance.recording import group_record, step_metrics
from rephrase_rl.guidance.step import guide

CONTEXT = StepContext(step=3)


def of(dataset: str, problem_id: str = "p0"):
    return problem(problem_id, task_kind="lab", dataset=dataset)


GATES = GateByDataset(
    {"hard": FailedShareGate(1.0), "any": AlwaysGate(), "kept": None}, VisitsGate(AlwaysGate(), 1)
)


@pytest.mark.parametrize(
    ("dataset", "rewards", "opens"),
    [
        ("hard", (0.0, 0.0), True),
        ("hard", (0.0, 1.0), False),
        ("any", (1.0, 1.0), True),
        ("kept", (0.0, 0.0), False),
        ("other", (0.0, 0.0), False),
    ],
)
def test_the_sets_own_gate_decides(dataset, rewards, opens) -> None:
    assert GATES(group(*rewards, of=of(dataset)), CONTEXT) is opens


def test_other_sets_have_the_default_and_gates_see_the_history() -> None:
    failed_before = StepContext(step=3, history=lambda problem_id: (0.0,))
    assert GATES(group(0.0, 0.0, of=of("other")), failed_before)
    assert not GATES(group(0.0, 0.0, of=of("kept")), failed_before)


def test_who_is_never_guided() -> None:
    assert never_guided(GATES, of("kept"))
    assert not never_guided(GATES, of("other"))
    assert never_guided(GateByDataset({}, None), of("x"))
    assert not never_guided(AlwaysGate(), of("x"))
    assert never_guided(None, of("x")) is True


@pytest.mark.parametrize("sampling", ["lazy", "eager", "anticipated"])
def test_a_set_without_a_gate_is_never_asked_for_a_rewrite(sampling) -> None:
    engine = ScriptedGuidanceEngine(["good"])
    groups = [group(0.0, 0.0, of=of("kept", "a")), group(0.0, 0.0, of=of("hard", "b"))]
    kept, hard = guide(groups, repo(gate=GATES, sampling=sampling), engine, CONTEXT)
    assert [len(prompts) for prompts in engine.sampled] == [1]
    assert (kept.gate_open, kept.reason, kept.candidates) == (False, "closed", ())
    assert kept.slot is None
    assert (hard.reason, hard.slot) == ("open", 0)


def records():
    """hard: one rescued, one with 1 of 2 passed; kept: all failed, and one without a verdict."""
    groups = [
        group(0.0, 0.0, of=of("hard", "a")),
        group(0.0, 1.0, of=of("hard", "b")),
        group(0.0, 0.0, of=of("kept", "c")),
        group(NAN, NAN, of=of("kept", "d")),
        group(1.0, 1.0, of=of("hard", "e")),
    ]
    guided = guide(groups, repo(gate=GATES), ScriptedGuidanceEngine(["good"]), CONTEXT)
    return [group_record(one, (0.0, 0.0), CONTEXT) for one in guided]


def test_metrics_by_set_by_hand() -> None:
    metrics = step_metrics(records(), 0.5)
    own = {name: value for name, value in metrics.items() if name.startswith("data/")}
    assert own == {
        "data/hard/groups": 3.0,
        "data/hard/pass_fraction": pytest.approx((0 + 0.5 + 1) / 3),
        "data/hard/gate_open_fraction": pytest.approx(1 / 3),
        "data/hard/injected_fraction": pytest.approx(1 / 3),
        "data/kept/groups": 2.0,
        "data/kept/pass_fraction": 0.0,  # of the one group that could be judged
        "data/kept/gate_open_fraction": 0.0,
        "data/kept/injected_fraction": 0.0,
    }
    assert metrics["gate/open_fraction"] == pytest.approx(1 / 5)


def test_a_displaced_group_was_not_trained_on() -> None:
    guided = guide(
        [group(0.0, 0.0, of=of("hard"))],
        repo(gate=GATES),
        ScriptedGuidanceEngine(["good"]),
        CONTEXT,
    )
    figures = dataset_figures([group_record(guided[0], (0.0, 0.0), CONTEXT, used=False)])
    assert (figures["hard"].gate_open, figures["hard"].injected) == (1, 0)
    unscored = group_record(
        guide([group(NAN, of=of("kept"))], repo(), ScriptedGuidanceEngine(), CONTEXT)[0],
        (0.0,),
        CONTEXT,
    )
    assert math.isnan(dataset_metrics([unscored])["data/kept/pass_fraction"])


def test_a_run_with_one_set_has_no_such_metrics() -> None:
    guided = guide([group(0.0, 1.0)], repo(), ScriptedGuidanceEngine(), CONTEXT)
    record = group_record(guided[0], (0.0, 0.0), CONTEXT)
    assert not [name for name in step_metrics([record], 0.5) if name.startswith("data/")]
    assert summarise_datasets(Ledger.from_records([record])) == {}


def test_the_ledger_counts_by_set_and_keeps_sets_in_a_checkpoint() -> None:
    ledger = Ledger.from_json(Ledger.from_records(records()).to_json())
    by_set = summarise_datasets(ledger)
    assert list(by_set) == ["hard", "kept"]
    backwards = sorted(records(), key=lambda record: record.dataset, reverse=True)
    assert list(summarise_datasets(Ledger.from_records(backwards))) == ["hard", "kept"]
    assert list(dataset_figures(backwards)) == ["hard", "kept"]
    hard, kept = by_set["hard"], by_set["kept"]
    assert (hard.problems, hard.initially_all_failed, hard.intervened) == (3, 1, 1)
    assert (kept.problems, kept.unscored, kept.initially_all_failed, kept.intervened) == (
        2,
        1,
        1,
        0,
    )
