"""Cheaper ways of computing a step are the same step."""

from __future__ import annotations

import logging

import pytest
import torch
from peft import LoraConfig
from test_repo_trainer import rewrite_or

from fakes import ByteTokenizer
from guidance_fakes import repo
from rephrase_rl.assembly.blocks import build_guidance
from rephrase_rl.config import PromptsConfig
from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.blocks import Measurement
from rephrase_rl.methods import resolve_guidance
from rephrase_rl.trainers.trl.compute import Compute
from rephrase_rl.trainers.trl.engine import TrlGuidanceEngine
from trl_fakes import ScriptedTrainer, trainer

pytestmark = pytest.mark.integration

TRL_WAY = Compute("generate", "plain", None, False)


class CountingRows(ScriptedTrainer):
    """Remembers the sizes of the forward passes that have a gradient."""

    def _get_per_token_logps_and_entropies(self, model, input_ids, *args, **kwargs):
        if torch.is_grad_enabled():
            self.sizes = [*getattr(self, "sizes", []), tuple(input_ids.shape)]
        return super()._get_per_token_logps_and_entropies(model, input_ids, *args, **kwargs)


@pytest.fixture
def counting(monkeypatch):
    monkeypatch.setattr("trl_fakes.ScriptedTrainer", CountingRows)


def one_solved(prompts, call):
    """Of four groups of two, one has spread; the others fail, some of them at length."""
    solved = {"ab": ["ba", "x"]}
    texts = []
    for i, prompt in enumerate(prompts):
        question = prompt.split("<|user|>")[1][:2]
        texts.append(solved.get(question, ["x", "x" * 9])[i % 2])
    return texts


def step(tmp_path, compute, guidance=None, script=one_solved, peft_config=None, **args):
    made = trainer(
        tmp_path,
        guidance,
        script=script,
        compute=compute,
        peft_config=peft_config,
        # Adam's first step would turn the rounding of a gradient near 0 into a whole step.
        args={"per_device_train_batch_size": 8, "shuffle_dataset": False, "optim": "sgd"} | args,
    )
    made.train()
    (entry,) = [entry for entry in made.state.log_history if "grad_norm" in entry]
    return made, entry, [p.detach().clone() for p in made.model.parameters()]


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "cispo"])
def test_rows_without_gradient_are_left_out_and_the_step_is_the_same(
    tmp_path, counting, loss_type
) -> None:
    extra = {"epsilon_high": 5.0} if loss_type == "cispo" else {}
    _, whole, expected = step(tmp_path, TRL_WAY, loss_type=loss_type, **extra)
    skipping = Compute("generate", "plain", None, True)
    made, entry, weights = step(tmp_path, skipping, loss_type=loss_type, **extra)
    rows, columns = made.sizes[0]
    # "ba" and its end token beside a prompt; the long failures and their padding are gone.
    prompt = made.batches[0]["prompt_ids"].size(1)
    assert (rows, columns) == (2, prompt + 3)
    assert entry["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert entry["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "args",
    [
        {"loss_type": "bnpo"},
        {"entropy_coef": 0.1},
        {"top_entropy_quantile": 0.5},
    ],
    ids=lambda args: next(iter(args)),
)
def test_rows_stay_where_something_else_gives_them_a_gradient(tmp_path, counting, args) -> None:
    made, _, _ = step(tmp_path, Compute("generate", "plain", None, True), **args)
    assert made.sizes[0][0] == 8


def test_injected_rows_with_a_loss_of_their_own_stay(tmp_path, counting) -> None:
    guidance = build_guidance(resolve_guidance("hpt", {}), PromptsConfig())
    _, whole, _ = step(tmp_path, TRL_WAY, guidance)
    made, entry, _ = step(tmp_path, Compute("generate", "plain", None, True), guidance)
    # The group with spread, and the expert's text of each of the three that failed.
    assert made.sizes[0][0] == 2 + 3
    assert entry["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert entry["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)


def test_nothing_to_learn_is_a_step_of_one_row_without_gradient(tmp_path, counting) -> None:
    made, entry, weights = step(
        tmp_path, Compute("generate", "plain", None, True), script=lambda prompts, call: ["x"] * 8
    )
    assert made.sizes[0][0] == 1
    assert entry["grad_norm"] == 0.0
    fresh = list(trainer(tmp_path, None).model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(weights, fresh, strict=True))


def test_packed_rows_give_the_plain_loss_and_gradient(tmp_path) -> None:
    _, whole, expected = step(tmp_path, TRL_WAY, repo(), rewrite_or("x"))
    packed = Compute("generate", "packed", None, False)
    made, entry, weights = step(tmp_path, packed, repo(), rewrite_or("x"))
    assert made.packs_rows
    assert entry["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert entry["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("args", [{}, {"beta": 0.1}, {"gradient_checkpointing": True}])
def test_adapters_take_the_same_step_packed_and_plain(tmp_path, args) -> None:
    """The reference policy of the KL term is the policy without its adapters."""

    def adapters(compute, **more):
        made, entry, _ = step(
            tmp_path,
            compute,
            repo(),
            rewrite_or("x"),
            peft_config=LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False),
            **more,
        )
        return made, entry, [p.detach().clone() for p in made.model.parameters() if p.requires_grad]

    _, whole, expected = adapters(TRL_WAY, **{k: v for k, v in args.items() if k == "beta"})
    made, entry, weights = adapters(Compute("shared_prefix", "packed", 64, True), **args)
    assert made.packs_rows
    assert made.ref_model is None
    assert bool(entry.get("kl")) == ("beta" in args)
    assert entry["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert entry["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
    assert whole["grad_norm"] > 0
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_rollouts_are_sampled_with_shared_prefixes_and_repeat_for_a_seed(
    tmp_path, monkeypatch
) -> None:
    def refuse(*args, **kwargs):
        raise AssertionError("generate was called")

    texts = []
    for seed in (7, 7, 8):
        made = trainer(tmp_path, None, args={"seed": seed})
        monkeypatch.setattr(type(made.model), "generate", refuse)
        made.train()
        texts.append(made.batches[0]["completion_ids"].tolist())
    assert texts[0] == texts[1] != texts[2]


def test_log_probs_kept_while_sampling_are_those_of_a_forward_pass(tmp_path, monkeypatch) -> None:
    """Rewrites at a temperature of their own; log-probs are at that of training."""
    sampled = []
    sample = TrlGuidanceEngine.sample

    def keep(engine, prompts):
        completions = sample(engine, prompts)
        wanted = [
            Measurement(0, tuple(prompt), c.token_ids)
            for prompt, c in zip(prompts, completions, strict=True)
        ]
        sampled.append((completions, engine.measure(wanted)))
        return completions

    monkeypatch.setattr(TrlGuidanceEngine, "sample", keep)
    made = trainer(
        tmp_path, repo(temperature=0.5), args={"temperature": 0.9, "max_completion_length": 5}
    )
    made.train()
    completions, measured = sampled[0]
    assert len(completions) == 2
    for completion, logps in zip(completions, measured, strict=True):
        assert completion.sampling_logps == pytest.approx(logps.on_context, abs=1e-4)


def test_what_only_generate_knows_falls_back_with_one_line(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "rephrase_rl"):
        made = trainer(tmp_path, None, args={"repetition_penalty": 1.1})
    (line,) = [r.getMessage() for r in caplog.records if "generate" in r.getMessage()]
    assert "repetition_penalty" in line
    made.train()
    assert made.state.global_step == 1
    with pytest.raises(ConfigError, match=r"compute\.sampler is 'shared_prefix', but .*min_new"):
        trainer(
            tmp_path,
            None,
            compute=Compute(sampler="shared_prefix"),
            args={"generation_kwargs": {"min_new_tokens": 3}},
        )


def test_a_model_that_cannot_be_packed_is_computed_plainly_or_refused(tmp_path, caplog) -> None:
    from fakes import tiny_model

    def other():
        model = tiny_model()
        model.config._attn_implementation = "flex_attention"
        return model

    with caplog.at_level(logging.WARNING, "rephrase_rl"):
        made = trainer(tmp_path, None, model=other())
    assert not made.packs_rows
    assert any("flex_attention" in record.getMessage() for record in caplog.records)
    with pytest.raises(ConfigError, match=r"compute\.forward is 'packed', but"):
        trainer(tmp_path, None, model=other(), compute=Compute(forward="packed"))


def test_tokenizer_of_the_tests_marks_the_question() -> None:
    """``one_solved`` finds the question behind this mark."""
    tokenizer = ByteTokenizer()
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "ab"}], return_dict=False)
    assert "<|user|>ab" in tokenizer.decode(ids)
