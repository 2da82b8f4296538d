"""Rewrites that are sampled together with the rollouts change the cost and no decision."""

from __future__ import annotations

import logging

import pytest
from test_repo_trainer import rewrite_or

from fakes import EOS_ID, ByteTokenizer
from guidance_fakes import repo
from rephrase_rl.guidance.sources import RefinementSource
from rephrase_rl.trainers.trl.sampling import SampledIds
from trl_fakes import CountingReward, rows, trainer

pytestmark = pytest.mark.integration


class ScriptedSampler:
    """In the place of ``sample_ids``; keeps the prompts of every call."""

    def __init__(self, script) -> None:
        self.script = script
        self.calls: list[list[str]] = []

    def __call__(self, made, prompt_ids, on_finished=None) -> SampledIds:
        prompts = [ByteTokenizer().decode(ids) for ids in prompt_ids]
        self.calls.append(prompts)
        ids = [[*text.encode(), EOS_ID] for text in self.script(prompts, len(self.calls) - 1)]
        return SampledIds(ids, [[-0.5] * len(row) for row in ids])


def run(tmp_path, monkeypatch, sampling, script, *, data=None, steps=2, reward=None, **changes):
    """All four problems in every step; what was asked for and what was decided."""
    sampler = ScriptedSampler(script)
    monkeypatch.setattr("rephrase_rl.trainers.trl.trainer.sample_ids", sampler)
    records: list = []
    made = trainer(
        tmp_path,
        repo(sampling=sampling, **changes),
        data=data,
        reward_funcs=reward,
        on_groups=records.extend,
        args={
            "per_device_train_batch_size": 8,
            "max_steps": steps,
            "num_train_epochs": steps,
            "shuffle_dataset": False,
        },
    )
    made.train()
    return sampler.calls, sorted(records, key=lambda r: (r.step, r.problem_id)), made


def decisions(records):
    return [
        (r.step, r.problem_id, r.gate_open, r.slot, [m.text for m in r.members]) for r in records
    ]


def test_a_second_visit_needs_one_call_and_decides_as_lazy_sampling(tmp_path, monkeypatch) -> None:
    lazy_calls, lazy, _ = run(tmp_path, monkeypatch, "lazy", rewrite_or("x"))
    calls, records, _ = run(tmp_path, monkeypatch, "anticipated", rewrite_or("x"))
    assert [len(call) for call in lazy_calls] == [8, 4, 8, 4]
    # Nothing is known of a problem before its first visit.
    assert [len(call) for call in calls] == [8, 4, 12]
    assert calls[2][:8] == lazy_calls[2], "the rollouts come first, so their draws stay the same"
    assert calls[2][8:] == lazy_calls[3]
    assert decisions(records) == decisions(lazy)
    assert all(r.candidates[0].logp_on_context == pytest.approx(-0.5) for r in records)


def test_what_was_not_needed_is_dropped_unjudged_and_counted(tmp_path, monkeypatch) -> None:
    def learns_ab(prompts, call):
        texts = list(rewrite_or("x")(prompts, call))
        if call == 2:
            texts[:8] = ["ba" if "ab" in prompt else "x" for prompt in prompts[:8]]
        return texts

    calls, records, made = run(tmp_path, monkeypatch, "anticipated", learns_ab)
    solved = next(r for r in records if r.step == 1 and r.problem_id == "ab")
    assert [len(call) for call in calls] == [8, 4, 12]
    (candidate,) = solved.candidates
    assert candidate.refusals == ("gate_closed",)
    assert candidate.reward != candidate.reward, "a verifier was not asked about it"
    assert candidate.num_sampled_tokens == 3
    assert made.state.log_history[1]["tokens/rephrase"] == 4 * 3


def test_what_was_not_foreseen_is_sampled_after_the_gate(tmp_path, monkeypatch) -> None:
    def forgets_ab(prompts, call):
        texts = list(rewrite_or("x")(prompts, call))
        if call == 0:
            texts[:8] = ["ba" if "ab" in prompt else "x" for prompt in prompts[:8]]
        return texts

    calls, records, _ = run(tmp_path, monkeypatch, "anticipated", forgets_ab)
    assert [len(call) for call in calls] == [8, 3, 11, 1]
    assert all(r.candidates[0].accepted for r in records if r.step == 1)


def test_a_mined_pass_rate_predicts_the_first_visit(tmp_path, monkeypatch) -> None:
    data = [row | {"pass_rate": 0.0 if i < 3 else 0.6} for i, row in enumerate(rows())]
    calls, _, _ = run(tmp_path, monkeypatch, "anticipated", rewrite_or("x"), data=data, steps=1)
    assert [len(call) for call in calls] == [11, 1]


def test_a_visit_that_nobody_could_score_foretells_nothing(tmp_path, monkeypatch) -> None:
    reward = CountingReward({"?": None})

    def unreadable(prompts, call):
        texts = list(rewrite_or("x")(prompts, call))
        return ["?"] * 8 + texts[8:] if call == 0 else texts

    data = [row | {"pass_rate": 0.0 if i < 3 else 0.6} for i, row in enumerate(rows())]
    calls, records, _ = run(
        tmp_path, monkeypatch, "anticipated", unreadable, data=data, reward=reward
    )
    # As at the first visit: three are expected to fail, the fourth turns out to.
    assert [len(call) for call in calls] == [11, 11, 1]
    assert all(r.candidates[0].accepted for r in records if r.step == 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"temperature": 0.3}, "temperature"),
        ({"source": RefinementSource()}, "not known before"),
    ],
)
def test_where_one_call_cannot_serve_both_it_says_so(
    tmp_path, monkeypatch, caplog, changes, reason
) -> None:
    with caplog.at_level(logging.WARNING, "rephrase_rl"):
        calls, _, _ = run(tmp_path, monkeypatch, "anticipated", rewrite_or("x"), **changes)
    assert reason in caplog.text
    assert {len(call) for call in calls} <= {8, 4}


def test_without_the_own_sampler_rewrites_come_after_the_gate(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "rephrase_rl"):
        made = trainer(tmp_path, repo(sampling="anticipated"), args={"repetition_penalty": 1.1})
    assert "rewrites are sampled after the gate" in caplog.text
    made.train()
    assert made.state.global_step == 1
