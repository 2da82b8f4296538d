"""A mixture through TRL's own code: rewards, gates, correctness and records of each set."""

from __future__ import annotations

import math

import pytest
from test_anticipation import ScriptedSampler
from test_repo_trainer import rewrite_or

from fakes import ScriptedVerifier
from guidance_fakes import repo
from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.guidance.gate_by_dataset import GateByDataset
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate
from rephrase_rl.rewards.dataset_reward import DatasetReward
from trl_fakes import rows, trainer

pytestmark = pytest.mark.integration

HARD = ("ab", "cd")


def mixture():
    """Problems ab and cd are hard, ef and gh are easy."""
    return [row | {"dataset": "hard" if row["problem_id"] in HARD else "easy"} for row in rows()]


class Verifiers:
    """hard: the answer decides, a second one gives 0.25; easy: everything passes."""

    def __init__(self) -> None:
        self.answer = ScriptedVerifier(name="answer")
        self.form = ScriptedVerifier({}, default=0.25, name="form")
        self.lenient = ScriptedVerifier({}, default=1.0, name="lenient")

    def rewards(self):
        return [
            DatasetReward(self.form, ["hard"], name="form"),
            DatasetReward(self.answer, ["hard"], name="answer"),
            DatasetReward(self.lenient, ["easy"], name="lenient"),
        ]


CORRECTNESS = {"hard": "answer", "easy": "lenient"}


def run(tmp_path, monkeypatch, guidance, verifiers, script=None, steps=2):
    sampler = ScriptedSampler(script or rewrite_or("x"))
    monkeypatch.setattr("rephrase_rl.trainers.trl.trainer.sample_ids", sampler)
    records: list = []
    made = trainer(
        tmp_path,
        guidance,
        data=mixture(),
        reward_funcs=verifiers.rewards(),
        on_groups=records.extend,
        args={
            "per_device_train_batch_size": 8,
            "max_steps": steps,
            "num_train_epochs": steps,
            "shuffle_dataset": False,
            "reward_weights": [2.0, 1.0, 1.0],
        },
    )
    made.train()
    return sampler.calls, sorted(records, key=lambda r: (r.step, r.problem_id)), made


def gated(**changes):
    gates = GateByDataset({"easy": None}, FailedShareGate(1.0))
    return repo(**({"gate": gates, "correctness_of": CORRECTNESS} | changes))


def test_every_row_is_judged_by_its_own_set(tmp_path, monkeypatch) -> None:
    verifiers = Verifiers()
    _, records, made = run(tmp_path, monkeypatch, gated(), verifiers, steps=1)
    assert {answer for _, answer in verifiers.answer.calls} == {"ba", "dc"}
    assert {answer for _, answer in verifiers.lenient.calls} == {"fe", "hg"}
    by_id = {record.problem_id: record for record in records}
    assert [by_id[name].dataset for name in ("ab", "ef")] == ["hard", "easy"]
    # hard: 2 * 0.25 for the form, and the answer; what decides is the answer alone.
    rewards = [(m.reward, m.correctness) for m in by_id["ab"].members]
    assert rewards == [(1.5, 1.0), (0.5, 0.0)], "the rewrite is judged like the rollouts"
    assert [(m.reward, m.correctness) for m in by_id["ef"].members] == [(1.0, 1.0)] * 2
    logged = made.state.log_history[0]
    assert logged["rewards/lenient/mean"] == 1.0
    assert logged["rewards/form/mean"] == 0.25
    # After injection one of two members of both hard groups is right.
    assert logged["rewards/answer/mean"] == 0.5
    assert logged["data/hard/pass_fraction"] == 0.0
    assert logged["data/easy/pass_fraction"] == 1.0
    assert logged["data/hard/injected_fraction"] == 1.0
    assert logged["data/easy/injected_fraction"] == 0.0


def test_only_the_gated_set_asks_for_rewrites(tmp_path, monkeypatch) -> None:
    verifiers = Verifiers()
    verifiers.lenient = ScriptedVerifier({}, default=0.0, name="lenient")
    _, records, _ = run(tmp_path, monkeypatch, gated(), verifiers, steps=1)
    assert {r.failure_fraction for r in records} == {1.0}
    assert [(r.problem_id, r.gate_open, len(r.candidates)) for r in records] == [
        ("ab", True, 1),
        ("cd", True, 1),
        ("ef", False, 0),
        ("gh", False, 0),
    ]


def test_anticipated_sampling_foresees_each_sets_gate_and_decides_as_lazy(
    tmp_path, monkeypatch
) -> None:
    def decisions(records):
        return [(r.step, r.problem_id, r.dataset, r.gate_open, r.slot) for r in records]

    failing = Verifiers()
    failing.lenient = ScriptedVerifier({}, default=0.0, name="lenient")
    lazy_calls, lazy, _ = run(tmp_path, monkeypatch, gated(), failing)
    calls, ahead, _ = run(tmp_path, monkeypatch, gated(sampling="anticipated"), failing)
    # 8 rollouts and the rewrites of two hard problems; in the second step in one call.
    assert [len(call) for call in lazy_calls] == [8, 2, 8, 2]
    assert [len(call) for call in calls] == [8, 2, 10]
    assert decisions(ahead) == decisions(lazy)
    gates = GateByDataset({"hard": None, "easy": AlwaysGate()})
    calls, records, _ = run(
        tmp_path, monkeypatch, gated(gate=gates, sampling="anticipated"), failing
    )
    assert [len(call) for call in calls] == [8, 2, 10]
    assert {r.dataset for r in records if r.candidates} == {"easy"}


def test_what_decides_must_be_known_for_every_set(tmp_path) -> None:
    def build(correctness_of, guidance=None):
        return trainer(
            tmp_path,
            guidance or gated(correctness_of=correctness_of),
            data=mixture(),
            reward_funcs=Verifiers().rewards(),
        )

    with pytest.raises(ConfigError, match="'nonsense'"):
        build(CORRECTNESS | {"easy": "nonsense"})
    with pytest.raises(ConfigError, match=r"no guidance\.correctness"):
        build({})
    made = build({"hard": "answer"})
    with pytest.raises(ConfigError, match=r"no guidance\.correctness"):
        made._correctness.of_rows(mixture())
    assert made._correctness.of_rows(mixture()[:2]) == [1, 1]


def test_without_guidance_a_set_that_nobody_judges_is_unscored(tmp_path, monkeypatch) -> None:
    verifiers = Verifiers()
    verifiers.lenient = ScriptedVerifier({}, default=None, name="lenient")
    guidance = Guidance(correctness_of=CORRECTNESS)
    _, records, made = run(tmp_path, monkeypatch, guidance, verifiers, steps=1)
    assert [math.isnan(r.failure_fraction) for r in records] == [False, False, True, True]
    logged = made.state.log_history[0]
    assert logged["data/easy/pass_fraction"] is None
    assert logged["data/hard/pass_fraction"] == 0.0
