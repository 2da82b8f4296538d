"""Train rules inside TRL's loss: value and gradient against the formula written out and autograd.

A scripted trainer makes groups of which one member is injected. For its one micro-batch the loss of
the formulae is computed row by row and token by token from a forward pass of its own.
"""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from test_repo_trainer import rewrite_or

from guidance_fakes import repo
from rephrase_rl.errors import ConfigError
from rephrase_rl.guidance.blocks import Guidance
from rephrase_rl.guidance.gates import AlwaysGate
from rephrase_rl.guidance.slots import LastPlace
from rephrase_rl.guidance.sources import ExpertPrefixSource, ExpertTextSource
from rephrase_rl.guidance.training import (
    ClippedRatio,
    ContextRatio,
    NegativeLogLikelihood,
    PhiWeightedNll,
    ShapedProbability,
)
from trl_fakes import rows, trainer

pytestmark = pytest.mark.integration

RULES = [
    ClippedRatio(),
    ClippedRatio(weight=0.25),
    ContextRatio(cap=1.5),
    ContextRatio(level="sequence", cap=3.0),
    ContextRatio(level="sequence", cap=3.0, length_normalized=True),
    ShapedProbability(gamma=0.1),
    ShapedProbability(gamma=0.3),
    ShapedProbability(gamma=0.5, weight=2.0),
    NegativeLogLikelihood(),
    PhiWeightedNll(),
]
LOSS_TYPES = ("grpo", "dr_grpo", "dapo", "bnpo")


def watched(tmp_path, guidance, **options):
    """A trainer after one step; per micro-batch inputs, loss, gradient, and the formula's two."""
    seen = []
    made = trainer(tmp_path, guidance, **options)
    parameters = [p for p in made.model.parameters() if p.requires_grad]
    compute, guide_batch = made._compute_loss, made.guide_batch
    candidates: list = []

    def keep_batch(*args):
        batch = guide_batch(*args)
        candidates.extend(group.accepted for group in batch.groups)
        return batch

    def keep_loss(model, inputs):
        loss = compute(model, inputs)
        gradient = torch.autograd.grad(loss, parameters, retain_graph=True)
        logps = explicit_logps(made.model, inputs)
        expected = explicit_loss(made, inputs, logps, [c for c in candidates if c])
        wanted = torch.autograd.grad(expected, parameters)
        seen.append((inputs, loss.detach(), gradient, expected.detach(), wanted))
        return loss

    made.guide_batch, made._compute_loss = keep_batch, keep_loss
    made.train()
    return made, seen


def explicit_logps(model, inputs):
    """Log-probs of completion tokens by a plain softmax, without TRL."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    logps = logits.log_softmax(-1).gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return logps[:, -inputs["completion_ids"].shape[1] :]


def explicit_loss(made, inputs, logps, candidates):
    """The formulae, token by token. At the first update every ratio on q is 1."""
    rule, mask = made.guidance.train, inputs["completion_mask"].bool()
    injected = inputs["injected_mask"] & mask
    advantages = made.batches_advantages
    own_count, injected_count = counts(made, mask, injected)
    total = len(mask) if made.loss_type in ("grpo", "dr_grpo") else own_count + injected_count
    own_scale = injected_scale = 1.0
    if rule.normalisation == "separate":
        own_scale, injected_scale = total / own_count, total / injected_count
    row_losses = []
    for b in range(len(mask)):
        candidate = candidate_of_row(inputs, b, candidates)
        tokens = []
        for t in range(int(mask[b].sum())):
            advantage = float(advantages[b])
            if injected[b, t]:
                value = injected_token(rule, logps[b, t], advantage, candidate, t)
                tokens.append(value * rule.weight * injected_scale)
            else:
                ratio = (logps[b, t] - logps[b, t].detach()).exp()
                tokens.append(-ratio * advantage * own_scale)
        row_losses.append(torch.stack(tokens))
    return reduced(made, row_losses)


def candidate_of_row(inputs, b, candidates):
    token_ids = inputs["completion_ids"][b][inputs["completion_mask"][b].bool()].tolist()
    return next((c for c in candidates if list(c.completion.token_ids) == token_ids), None)


def injected_token(rule, logp, advantage, candidate, t):
    p = logp.exp()
    if isinstance(rule, ShapedProbability):
        return -advantage * p / (p + rule.gamma)
    if isinstance(rule, NegativeLogLikelihood):
        return -logp
    if isinstance(rule, PhiWeightedNll):
        return -(p * (1 - p)).detach() * logp
    ratio = (logp - logp.detach()).exp()
    return -ratio * advantage * context_weight(rule, candidate, t)


def context_weight(rule, candidate, t):
    if not isinstance(rule, ContextRatio):
        return 1.0
    differences = [
        q - k for q, k in zip(candidate.logps_on_q, candidate.logps_on_context, strict=True)
    ]
    if rule.level == "token":
        return min(rule.cap, math.exp(differences[t]))
    total = sum(differences) / (len(differences) if rule.length_normalized else 1)
    return min(rule.cap, math.exp(total))


def counts(made, mask, injected):
    own = mask & ~injected
    if made.loss_type in ("grpo", "dr_grpo"):
        return int(own.any(1).sum()), int(injected.any(1).sum())
    return int(own.sum()), int(injected.sum())


def reduced(made, row_losses):
    if made.loss_type == "grpo":
        return torch.stack([row.mean() for row in row_losses]).mean()
    total = torch.cat(row_losses).sum()
    if made.loss_type == "dr_grpo":
        return total / (len(row_losses) * made.max_completion_length)
    return total / sum(len(row) for row in row_losses)


@pytest.fixture(autouse=True)
def _advantages_before_weights(monkeypatch):
    """Keep the rows' advantages as they were before a rule weighed the tokens."""
    from rephrase_rl.trainers.trl import trainer as module

    original = module.RePOTrainer._prepare_loss

    def keep(self, batch, output):
        self.batches_advantages = output["advantages"].clone()
        original(self, batch, output)

    # The micro-batch is the whole batch; TRL's shuffle would reorder the rows.
    monkeypatch.setattr(module.RePOTrainer, "_prepare_loss", keep)
    monkeypatch.setattr("trl.trainer.grpo_trainer.shuffle_sequence_dict", lambda batch: batch)


def two_lengths(prompts, call):
    """Failing rollouts of different lengths; rewrites say what the expert said."""
    right = rewrite_or("x")(prompts, call)
    return [text if text != "x" else "x" * (1 + i % 3) for i, text in enumerate(right)]


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_loss_and_gradient_are_the_formulas(tmp_path, rule, loss_type) -> None:
    _made, seen = watched(
        tmp_path, repo(train=rule), script=two_lengths, args={"loss_type": loss_type}
    )
    ((inputs, loss, gradient, expected, wanted),) = seen
    assert inputs["injected_mask"].sum() == 6, "two rewrites of two letters and an end token"
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)
    for ours, theirs in zip(gradient, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("rule", [ClippedRatio(), ShapedProbability(), ContextRatio()], ids=repr)
def test_separate_normalisation_averages_injected_tokens_apart(tmp_path, rule, loss_type) -> None:
    separate = dataclasses.replace(rule, normalisation="separate")
    _made, seen = watched(
        tmp_path, repo(train=separate), script=two_lengths, args={"loss_type": loss_type}
    )
    ((_, loss, gradient, expected, wanted),) = seen
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)
    for ours, theirs in zip(gradient, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("normalisation", "loss_type"), [("joint", "dapo"), ("separate", "dapo"), ("separate", "grpo")]
)
def test_prefix_tokens_are_injected_and_the_continuation_is_the_policys_own(
    tmp_path, normalisation, loss_type
) -> None:
    rule = ShapedProbability(normalisation=normalisation)
    guidance = Guidance(AlwaysGate(), ExpertPrefixSource(share=0.5), slot=LastPlace(), train=rule)

    def script(prompts, call):
        return ["..." if "exper" in prompt else "x" for prompt in prompts]

    made, seen = watched(
        tmp_path,
        guidance,
        script=script,
        data=rows(expert_solution="expert:xyz"),
        args={"loss_type": loss_type},
    )
    ((inputs, loss, _gradient, expected, _wanted),) = seen
    assert len(made.calls) == 2
    # 10 letters, 5 given; the policy added "..." and the end.
    assert inputs["injected_mask"].sum(1).tolist() == [0, 5, 0, 5]
    assert inputs["completion_mask"].sum(1).tolist() == [2, 9, 2, 9]
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "rule", [ShapedProbability(), NegativeLogLikelihood(), ContextRatio()], ids=repr
)
def test_gradient_does_not_depend_on_how_the_batch_is_cut(tmp_path, rule) -> None:
    def weights(**args):
        made = trainer(tmp_path, repo(train=rule), script=two_lengths, args=args)
        made.train()
        return [p.detach().clone() for p in made.model.parameters()]

    # SGD without clipping, since Adam's first step and a clipped gradient hide a wrong scale.
    plain = {"optim": "sgd", "max_grad_norm": 0.0}
    whole = weights(**plain, per_device_train_batch_size=4)
    cut = weights(**plain, per_device_train_batch_size=2, gradient_accumulation_steps=2)
    for ours, theirs in zip(whole, cut, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-5)


def test_expert_text_is_tokenised_whole_and_ends_with_the_end_token(tmp_path) -> None:
    guidance = Guidance(
        AlwaysGate(), ExpertTextSource(), slot=LastPlace(), train=NegativeLogLikelihood()
    )
    data = rows(expert_solution="expert")
    made, seen = watched(tmp_path, guidance, script=lambda prompts, call: ["x"] * 4, data=data)
    ((inputs, *_),) = seen
    assert len(made.calls) == 1, "nothing is sampled for a text that is there"
    tokens = inputs["completion_ids"][1][inputs["completion_mask"][1].bool()].tolist()
    assert tokens == [*b"expert", made._tokenizer.eos_token_id]
    assert inputs["injected_mask"].sum(1).tolist() == [0, 7, 0, 7]


@pytest.mark.parametrize(
    ("rule", "args", "said"),
    [
        (
            ShapedProbability(),
            {"importance_sampling_level": "sequence", "loss_type": "grpo"},
            "one ratio for a whole row",
        ),
        (ShapedProbability(), {"loss_type": "cispo"}, "made for the clipped surrogate"),
        (NegativeLogLikelihood(), {"loss_type": "sapo"}, "weighs whole rows"),
        (ContextRatio(), {"loss_type": "luspo"}, "weighs whole rows"),
        (
            ClippedRatio(normalisation="separate"),
            {"loss_type": "bnpo"},
            "tokens of a micro-batch",
        ),
        (NegativeLogLikelihood(), {"top_entropy_quantile": 0.5}, "chooses tokens"),
        (ContextRatio(), {"off_policy_mask_threshold": 0.5}, "masks whole rows"),
    ],
)
def test_combinations_that_make_no_sense_are_refused_with_a_reason(
    tmp_path, rule, args, said
) -> None:
    with pytest.raises(ConfigError) as caught:
        trainer(tmp_path, repo(train=rule), args=args)
    assert said in "\n".join(caught.value.faults)
