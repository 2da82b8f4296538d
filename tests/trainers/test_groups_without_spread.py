"""Groups without spread: kept, left out of the denominator, or replaced by further problems."""

from __future__ import annotations

import copy

import pytest
import torch
from test_repo_trainer import rewrite_or
from test_trl_switches import saved_tiny_model

from guidance_fakes import repo
from rephrase_rl.guidance.acceptance import Correct
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.guidance.gates import FailedShareGate
from rephrase_rl.guidance.slots import SupervisedStream
from rephrase_rl.guidance.sources import ExpertTextSource
from rephrase_rl.guidance.training import NegativeLogLikelihood
from rephrase_rl.trainers.trl.batch import GuidedBatch
from rephrase_rl.trainers.trl.stream import BufferedStream
from trl_fakes import CountingReward, rows, trainer

pytestmark = pytest.mark.integration


def run(tmp_path, guidance, script, **options):
    records: list = []
    made = trainer(tmp_path, guidance, script=script, on_groups=records.extend, **options)
    made.train()
    return made, records


def half_alive(prompts, call):
    """In every call the first group has one success, the second fails twice."""
    return [p.split("<|user|>")[1][:2][::-1] if i % 4 == 0 else "xx" for i, p in enumerate(prompts)]


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "bnpo"])
def test_dropping_is_training_on_the_other_groups_alone(tmp_path, loss_type, beta) -> None:
    policy = saved_tiny_model(tmp_path / "model")  # TRL loads its reference from there

    def weights(no_spread, data, size):
        args = {
            "loss_type": loss_type,
            "optim": "sgd",
            "max_grad_norm": 0.0,  # clipping would hide a wrong scale
            "per_device_train_batch_size": size,
            "shuffle_dataset": False,
            "beta": beta,
            "max_steps": 2,  # at the first the policy is the reference, so KL has no gradient
            "learning_rate": 0.1,
        }
        model = copy.deepcopy(policy)
        made, _ = run(
            tmp_path, Guidance(no_spread=no_spread), half_alive, data=data, args=args, model=model
        )
        return [p.detach().clone() for p in made.model.parameters()]

    dropped = weights("drop", rows(2), 4)
    alone = weights("keep", rows(1), 2)
    kept = weights("keep", rows(2), 4)
    for ours, theirs in zip(dropped, alone, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-4)
    differs = [not torch.allclose(a, b, atol=1e-7) for a, b in zip(kept, alone, strict=True)]
    assert any(differs), "keeping must count the dead group's tokens"


def test_resampling_fills_places_with_groups_that_have_signal(tmp_path) -> None:
    def script(prompts, call):
        if call == 0:
            return half_alive(prompts, call)
        # A further problem, which passes once.
        question = prompts[0].split("<|user|>")[1][:2]
        return [question[::-1], "yy"]

    reward = CountingReward()
    made, records = run(
        tmp_path, Guidance(no_spread="resample"), script, data=rows(2), reward_funcs=reward
    )
    assert [len(call) for call in made.calls] == [4, 2], "one group of two was asked for"
    assert [r.used for r in records] == [True, True, False]
    displaced = records[2]
    assert displaced.failure_fraction == 1.0
    assert {r.failure_fraction for r in records[:2]} == {0.5}
    assert all(any(m.advantage for m in r.members) for r in records[:2])
    # The trained rows, their prompts and their rewards belong together.
    decode = made._tokenizer.decode
    batch = made.batches[0]
    for prompt, completion, advantage in zip(
        batch["prompt_ids"], batch["completion_ids"], batch["advantages"], strict=True
    ):
        question = decode([i for i in prompt.tolist() if i < 256]).split("user")[-1][-2:]
        text = decode([i for i in completion.tolist() if i < 256])
        passed = text == question[::-1]
        assert (advantage > 0) == passed, (question, text)
    steps = [entry for entry in made.state.log_history if "groups/resampled" in entry]
    assert float(steps[0]["groups/resampled"]) == 1
    assert float(steps[0]["tokens/rollout"]) == 6 * 3


def test_texts_of_groups_that_gave_way_reach_the_stream(tmp_path) -> None:
    """ReLIFT's demonstrations are those of all-failed groups, which resampling replaces."""

    def script(prompts, call):
        if call == 0:
            return half_alive(prompts, call)
        return [prompts[0].split("<|user|>")[1][:2][::-1], "yy"]

    guidance = Guidance(
        gate=FailedShareGate(),
        source=ExpertTextSource(),
        accept=(Correct(),),
        slot=SupervisedStream(),
        train=NegativeLogLikelihood(),
        no_spread="resample",
    )
    stream = BufferedStream(size=100)
    reward = CountingReward({"expert:dc": 1.0, "expert:ba": 1.0})
    made, records = run(
        tmp_path,
        guidance,
        script,
        data=rows(2),
        stream=stream,
        reward_funcs=reward,
        args={"shuffle_dataset": False},
    )
    displaced = next(r for r in records if not r.used)
    (row,) = stream.rows
    decode = made._tokenizer.decode
    assert displaced.question in decode(row.prompt_ids)
    assert decode(row.completion_ids) == f"expert:{displaced.question[::-1]}<eos>"


def test_signal_is_in_what_advantages_are_made_of() -> None:
    rewards = torch.tensor([[1.0, 0.1], [1.0, 0.9], [0.0, 1.0], [1.0, 0.0]])

    def signals(weights, *, total_decides):
        batch = GuidedBatch([], rewards, 2, torch.tensor(weights), total_decides)
        return [batch.has_signal(group) for group in (0, 1)]

    assert signals([1.0, 1.0], total_decides=True) == [True, False], "the second group's cancel"
    assert signals([1.0, 1.0], total_decides=False) == [True, True]
    assert signals([1.0, 0.0], total_decides=True) == [False, True], "the second is only logged"
    assert signals([1.0, 0.0], total_decides=False) == [False, True]


def test_resampling_gives_up_after_its_rounds_and_keeps_what_there_is(tmp_path) -> None:
    made, records = run(
        tmp_path,
        Guidance(no_spread="resample", max_rounds=2),
        lambda prompts, call: ["x"] * len(prompts),
        data=rows(2),
    )
    assert [len(call) for call in made.calls] == [4, 4, 4]
    assert [r.used for r in records] == [True, True, False, False, False, False]


def test_a_rescued_group_is_not_without_signal(tmp_path) -> None:
    made, records = run(tmp_path, repo(no_spread="resample"), rewrite_or("x"), data=rows(2))
    assert len(made.calls) == 2, "rollouts and rewrites, and nothing more"
    assert all(r.used and r.rescued for r in records)


def test_columns_of_reward_functions_follow_their_rows(tmp_path) -> None:
    class Labelled(CountingReward):
        def __call__(self, prompts, completions, reference_answer, log_extra=None, **kwargs):
            values = super().__call__(prompts, completions, reference_answer)
            log_extra("text", [text[0]["content"] for text in completions])
            return values

    def script(prompts, call):
        if call == 0:
            return half_alive(prompts, call)
        return [prompts[0].split("<|user|>")[1][:2][::-1], "yy"]

    made, _ = run(
        tmp_path,
        Guidance(no_spread="resample"),
        script,
        data=rows(2),
        reward_funcs=Labelled(),
    )
    logged = list(made._logs["extra"]["text"])
    assert logged == list(made._logs["completion"]) or len(logged) == 4
    assert "yy" in logged
