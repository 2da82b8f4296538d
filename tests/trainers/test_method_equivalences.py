"""Methods that must be the same method at the edge of their settings, to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_repo_trainer import rewrite_or

from rephrase_rl.assembly import train_run
from rephrase_rl.assembly.blocks import build_guidance, preset_guidance
from rephrase_rl.config import PromptsConfig, parse_config, parse_guidance
from rephrase_rl.methods import (
    PRESETS,
    TRAINER_DEFAULTS,
    get_preset,
    resolve_config,
    resolve_guidance,
)
from rephrase_rl.runs import RunDirectory
from trl_fakes import rows, trainer

pytestmark = pytest.mark.integration


def weights(tmp_path, guidance, **options) -> list[torch.Tensor]:
    """Weights after two steps of real sampling on the tiny model, from the same start and seed."""
    made = trainer(tmp_path, guidance, args={"max_steps": 2, **options.pop("args", {})}, **options)
    made.train()
    return [parameter.detach().clone() for parameter in made.model.parameters()]


class SumOfLetters:
    """Rewards that differ within a group of random texts, so that GRPO moves the weights."""

    __name__ = "sum_of_letters"

    def __call__(self, prompts, completions, **kwargs) -> list[float]:
        texts = [text[0]["content"] for text in completions]
        return [sum(map(ord, text)) % 7 / 7 for text in texts]


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("repo", {"gate": {"gate_failure_fraction": 1.1}}),
        ("hpt", {"gate": {"success_rate": -0.1}}),
        ("replay", {"source": {"capacity": 0}}),
        ("guide", {"gate": {"kind": "never"}}),
        ("star", {"gate": {"kind": "schedule", "end_step": 0}}),
        (
            "luffy",
            {"gate": {"kind": "probability", "start": 0.0}, "advantages": {"scale": "group"}},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_gate_that_never_opens_is_grpo(tmp_path, method, overrides) -> None:
    grpo = weights(tmp_path, preset_guidance("grpo"), reward_funcs=SumOfLetters())
    other = weights(tmp_path, preset_guidance(method, overrides), reward_funcs=SumOfLetters())
    assert all(torch.equal(a, b) for a, b in zip(grpo, other, strict=True))
    start = trainer(tmp_path, None).model.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(grpo, start, strict=True)), "nothing moved"


def test_naive_is_luffy_with_the_loss_and_scaling_of_grpo() -> None:
    naive = resolve_guidance("naive", {})
    luffy = resolve_guidance(
        "luffy", {"train": {"kind": "clipped_ratio"}, "advantages": {"scale": "group"}}
    )
    assert luffy == naive
    # What luffy changes of the trainer is put back by the values that grpo has.
    changed = get_preset("luffy").trainer
    assert set(changed) == {"loss_type", "entropy_coef", "epsilon"}
    back = {name: TRAINER_DEFAULTS[name] for name in changed}
    raw: dict[str, Any] = {"model": {"path": "m"}, "data": {"path": "d"}}
    as_naive = resolve_config(
        parse_config(
            raw
            | {
                "method": "luffy",
                "trainer": back,
                "guidance": {
                    "train": {"kind": "clipped_ratio"},
                    "advantages": {"scale": "group"},
                },
            }
        )
    )
    plain = resolve_config(parse_config(raw | {"method": "naive"}))
    assert as_naive.model_copy(update={"method": "naive"}) == plain


def test_hpt_at_zero_is_likelihood_on_exactly_the_all_failed_groups(tmp_path) -> None:
    made = trainer(
        tmp_path,
        preset_guidance("hpt"),
        script=lambda prompts, call: ["ba", "x", "x", "x"],
        args={"shuffle_dataset": False},
    )
    losses = []
    compute = made._compute_loss

    def keep(model, inputs):
        loss = compute(model, inputs)
        losses.append((inputs, float(loss)))
        return loss

    made._compute_loss = keep
    made.train()
    ((inputs, loss),) = losses
    injected = inputs["injected_mask"]
    counted = inputs["completion_mask"].bool()
    # The failed group is trained on the expert's text alone; the other is left as it was.
    assert injected.any(1).sum() == 1
    assert counted.any(1).sum() == 3
    texts = [
        made._tokenizer.decode([int(i) for i, m in zip(row, mask, strict=True) if m])
        for row, mask in zip(inputs["completion_ids"], counted, strict=True)
    ]
    assert sorted(texts) == ["", "ba<eos>", "expert:dc<eos>", "x<eos>"]
    # -log p of the expert's tokens, -A of the own ones (the ratio is 1), over all tokens alike.
    width = inputs["completion_ids"].size(1)
    with torch.no_grad():
        logits = (
            trainer(tmp_path, None)
            .model(
                input_ids=torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                attention_mask=torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1),
            )
            .logits[:, -width - 1 : -1]
        )
    logps = logits.log_softmax(-1).gather(2, inputs["completion_ids"][..., None]).squeeze(2)
    own = inputs["injected_advantages"][:, None] * (counted & ~injected)
    expected = -(logps[injected & counted].sum() + own.sum()) / counted.sum()
    assert loss == pytest.approx(float(expected), abs=1e-5)


def test_replay_offers_a_success_of_an_earlier_step(tmp_path) -> None:
    records: list = []

    def script(prompts, call):
        return ["ba", "x"] * 2 if call == 0 else ["x"] * 4

    made = trainer(
        tmp_path,
        preset_guidance("replay"),
        script=script,
        on_groups=records.extend,
        data=rows(1) * 4,
        args={"max_steps": 2, "shuffle_dataset": False},
    )
    made.train()
    first, second = records[:2], records[2:]
    assert not any(record.gate_open for record in first)
    assert all(record.members[record.slot].origin == "replay" for record in second)
    assert {record.members[record.slot].text for record in second} == {"ba"}
    assert len(made.calls) == 2, "nothing was sampled for the replay"


def test_lazy_and_eager_decide_alike_and_train_alike(tmp_path) -> None:
    def script(prompts, call):
        texts = list(rewrite_or("x")(prompts, call))
        # One problem is solved by a rollout, so its gate stays closed; eager samples for it too.
        asked_plainly = ["ab" in prompt and "expert" not in prompt for prompt in prompts]
        pairs = zip(asked_plainly, texts, strict=True)
        return ["ba" if plainly and i % 2 else text for i, (plainly, text) in enumerate(pairs)]

    asked = {}

    def trained(sampling):
        records: list = []
        made = trainer(
            tmp_path,
            preset_guidance("repo", {"source": {"sampling": sampling}}),
            script=script,
            data=rows(2),
            on_groups=records.extend,
        )
        made.train()
        asked[sampling] = [len(call) for call in made.calls]
        return [(r.slot, r.gate_open, [m.text for m in r.members]) for r in records], [
            p.detach().clone() for p in made.model.parameters()
        ]

    lazy, lazy_weights = trained("lazy")
    eager, eager_weights = trained("eager")
    assert lazy == eager
    assert {gate_open for _, gate_open, _ in lazy} == {True, False}
    assert asked == {"lazy": [4, 1], "eager": [4, 2]}
    assert all(torch.equal(a, b) for a, b in zip(lazy_weights, eager_weights, strict=True))


def test_append_is_reserved_in_a_group_larger_by_one() -> None:
    raw = {"method": "luffy", "model": {"path": "m"}, "data": {"path": "d"}}
    resolved = resolve_config(
        parse_config(
            raw | {"guidance": {"slot": {"kind": "append"}}, "trainer": {"num_generations": 7}}
        )
    )
    assert resolved.trainer["num_generations"] == 8
    assert resolved.guidance["slot"] == {"kind": "reserved"}
    assert resolve_config(resolved) == resolved


@pytest.mark.parametrize(
    "method",
    [name for name in PRESETS if resolve_guidance(name, {}).slot.kind != "dataset"],
)
def test_every_method_trains_on_the_lab(tmp_path, method) -> None:
    guidance = {"slot": {"size": 4}} if method == "relift" else {}
    config = parse_config(
        {
            "method": method,
            "model": {"path": "lab:base"},
            "data": {"path": "lab:mixed", "limit": 16},
            "guidance": guidance,
            "trainer": {
                "max_steps": 2,
                "per_device_train_batch_size": 16,
                "num_generations": 4,
                "max_completion_length": 40,
                "learning_rate": 1e-3,
            },
        }
    )
    train_run(config, run_path=tmp_path / method, command=["test"])
    run = RunDirectory.open(tmp_path / method)
    steps = [step.metrics for step in run.steps()]
    assert all(step["loss"] is not None for step in steps)
    accepted = sum(step["injection/accepted"] for step in steps)
    if method in ("luffy", "repo", "naive", "guide", "relift", "chord", "chord_mu", "hpt"):
        assert accepted > 0
        assert any(step["grad_norm"] for step in steps) or method == "relift"
    if method == "relift":
        assert sum(step["stream/steps"] for step in steps) == accepted // 4
    if method.startswith("chord"):
        assert steps[0]["stream/mu"] == {"chord": 0.1, "chord_mu": 0.9}[method]


def test_objects_of_a_method_follow_its_data() -> None:
    config = parse_guidance(
        dict(get_preset("repo").blocks) | {"source": {"kind": "rephrase", "cache_steps": 3}}
    )
    assert type(build_guidance(config, PromptsConfig()).source).__name__ == "CachedSource"
