"""The separate supervised stream: its loss by the formula, its own steps, schedule, refusals."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.guidance.gates import AlwaysGate, FailedShareGate
from rephrase_rl.guidance.slots import ReplaceWorst, SupervisedStream
from rephrase_rl.guidance.sources import ExpertTextSource
from rephrase_rl.guidance.training import ClippedRatio, NegativeLogLikelihood, PhiWeightedNll
from rephrase_rl.trainers.trl.stream import (
    BufferedStream,
    JointStream,
    StreamRow,
    refuse_sharded,
    stream_loss,
)
from trl_fakes import CountingReward, rows, trainer

pytestmark = pytest.mark.integration


def outside(train, gate=None) -> Guidance:
    return Guidance(gate or AlwaysGate(), ExpertTextSource(), slot=SupervisedStream(), train=train)


def rows_of(made) -> list[StreamRow]:
    """What the stream should have been given: q and the expert's text of both problems."""
    tokenizer = made._tokenizer
    found = []
    for row in rows(2):
        prompt_ids, _, _ = made._tokenize_prompts([row["prompt"]])
        text = tokenizer.encode(row["expert_solution"], add_special_tokens=False)
        found.append(StreamRow(tuple(prompt_ids[0]), (*text, tokenizer.eos_token_id)))
    return found


def logps_of(model, row: StreamRow) -> torch.Tensor:
    ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
    logps = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
    return logps.gather(-1, ids[0, 1:].unsqueeze(-1))[-len(row.completion_ids) :, 0]


def test_stream_loss_is_the_mean_over_all_tokens(tmp_path) -> None:
    made = trainer(tmp_path, outside(PhiWeightedNll(weight=2.0)), stream=JointStream())
    both = rows_of(made)
    total = sum(len(row.completion_ids) for row in both)
    expected = torch.zeros(())
    for row in both:
        logps = logps_of(made.model, row)
        p = logps.detach().exp()
        expected = expected - (2.0 * p * (1 - p) * logps).sum() / total
    found = stream_loss(made, made.model, both, total)
    torch.testing.assert_close(found, expected)
    parts = sum(stream_loss(made, made.model, [row], total) for row in both)
    torch.testing.assert_close(parts, expected)


def test_mu_falls_from_peak_to_valley_on_half_a_cosine() -> None:
    stream = JointStream(peak=0.9, valley=0.05, decay_steps=100)
    assert stream.mu(0) == 0.9
    assert stream.mu(50) == pytest.approx((0.9 + 0.05) / 2)
    assert stream.mu(25) == pytest.approx(0.05 + 0.85 * (1 + math.cos(math.pi / 4)) / 2)
    assert stream.mu(100) == stream.mu(10_000) == pytest.approx(0.05)


@pytest.mark.parametrize("cut", [{}, {"per_device_train_batch_size": 2, "steps_per_generation": 2}])
def test_joint_loss_is_one_minus_mu_rl_plus_mu_supervised(tmp_path, cut) -> None:
    """Also where the generation batch is cut into micro-batches, of one optimiser step each."""

    def script(prompts, call):
        # Failures of other lengths than successes: the RL loss is not 0.
        return ["ba", "xxxxxx", "dc", "yyyy"]

    def first_loss(guidance, **options):
        made = trainer(
            tmp_path,
            guidance,
            script=script,
            data=rows(2),
            args={**cut, "max_steps": 1, "shuffle_dataset": False},
            **options,
        )
        kept = []
        compute = made._compute_loss

        def keep(model, inputs):
            loss = compute(model, inputs)
            kept.append((inputs, float(loss.detach())))
            return loss

        made._compute_loss = keep
        made.train()
        return kept[0]

    _, rl = first_loss(None)
    assert abs(rl) > 0.01
    inputs, joint = first_loss(
        outside(NegativeLogLikelihood()), stream=JointStream(0.75, 0.75, decay_steps=1)
    )
    made = trainer(tmp_path, None)  # the start weights again
    mine = [row for of_one in inputs["stream"] for row in of_one]
    windows = 2 if cut else 1
    total = float(inputs["stream_tokens"]) / windows
    supervised = float(stream_loss(stand_in(made), made.model, mine, total))
    assert joint == pytest.approx(0.25 * rl + 0.75 * supervised, abs=1e-5)
    assert float(inputs["stream_tokens"]) == sum(len(r.completion_ids) for r in rows_of(made))


def stand_in(made):
    """A trainer with the rule that ``stream_loss`` reads."""
    made.guidance = outside(NegativeLogLikelihood())
    return made


def test_buffer_waits_until_it_is_full_and_then_takes_one_adamw_step(tmp_path) -> None:
    def weights(size):
        made = trainer(
            tmp_path,
            outside(NegativeLogLikelihood(), FailedShareGate()),
            stream=BufferedStream(size=size, learning_rate=1e-2),
            script=lambda prompts, call: ["x"] * 4,
            data=rows(2),
            reward_funcs=CountingReward(),
        )
        made.train()
        return made

    waiting = weights(3)
    start = trainer(tmp_path, None)
    assert len(waiting.stream.rows) == 2
    pairs = zip(waiting.model.parameters(), start.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs), "all failed and no step: nothing may move"

    stepped = weights(2)
    assert stepped.stream.rows == []
    optimizer = torch.optim.AdamW(start.model.parameters(), lr=1e-2, weight_decay=0.0)
    both = rows_of(start)
    total = sum(len(row.completion_ids) for row in both)
    loss = -sum(logps_of(start.model, row).sum() for row in both) / total
    loss.backward()
    torch.nn.utils.clip_grad_norm_(start.model.parameters(), stepped.args.max_grad_norm)
    optimizer.step()
    # Rewards are equal, so the RL step itself has no gradient, and AdamW without one no effect.
    for found, expected in zip(stepped.model.parameters(), start.model.parameters(), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_stream_survives_a_checkpoint(tmp_path) -> None:
    stream = BufferedStream(size=2)
    stream.rows = [StreamRow((1, 2), (3,))]
    again = BufferedStream(size=2)
    again.load_state(stream.state())
    assert again.rows == stream.rows


def test_optimiser_taken_up_and_not_used_yet_goes_on_to_the_next_checkpoint() -> None:
    state = {"rows": [], "optimizer": {"state": {0: {"step": 3.0}}, "param_groups": []}}
    again = BufferedStream(size=2)
    again.load_state(state)
    assert again.state() == state


@pytest.mark.parametrize(
    ("flag", "said"),
    [("is_deepspeed_enabled", "DeepSpeed"), ("is_fsdp_enabled", "FSDP"), ("fp16", "fp16")],
)
def test_stream_is_refused_where_another_engine_owns_the_weights(flag, said) -> None:
    found = {"is_deepspeed_enabled": False, "is_fsdp_enabled": False, "fp16": False} | {flag: True}
    made = SimpleNamespace(
        is_deepspeed_enabled=found["is_deepspeed_enabled"],
        is_fsdp_enabled=found["is_fsdp_enabled"],
        args=SimpleNamespace(fp16=found["fp16"]),
    )
    with pytest.raises(ConfigError, match=f"stream under {said}"):
        refuse_sharded(made)


@pytest.mark.parametrize(
    ("guidance", "stream", "said"),
    [
        (outside(NegativeLogLikelihood()), None, "needs stream="),
        (
            Guidance(AlwaysGate(), ExpertTextSource(), slot=ReplaceWorst()),
            JointStream(),
            "any other slot has none",
        ),
        (outside(ClippedRatio()), JointStream(), "needs a group's advantage"),
    ],
)
def test_slot_stream_and_rule_have_to_fit(tmp_path, guidance, stream, said) -> None:
    with pytest.raises(ConfigError) as caught:
        trainer(tmp_path, guidance, stream=stream)
    assert said in "\n".join(caught.value.faults)
